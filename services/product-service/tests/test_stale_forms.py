"""A form that was loaded a while ago may change what it shows, but never what has happened since."""

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

METHODS = pytest.mark.parametrize("method", ["PUT", "PATCH"])
LOCAL = {"X-Public-Url": "http://localhost:5000"}

whatever_is_there = settings(
    max_examples=20, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
TEXT = st.text(st.characters(codec="utf-8", exclude_categories=["Cc"]), max_size=100)
PRICES = st.integers(0, 10**8)
PRODUCTS = st.fixed_dictionaries(
    {
        "name": TEXT.filter(str.strip),
        "description": TEXT,
        "price": PRICES.map(lambda cents: cents / 100),
        "stock": st.integers(0, 1_000_000),
        "category": st.from_regex(r"[a-z0-9]{1,9}(-[a-z0-9]{1,9}){0,2}", fullmatch=True),
    },
    optional={
        "old_price": st.just(2_000_000) | st.none(),
        "image_url": st.sampled_from(["/images/lamp.svg", "https://elsewhere.example/a?b=/c", "/images/a//b"]),
    },
)


@pytest.fixture
def lamp(add, client, alice):
    """The path of a product that somebody has reviewed."""
    path = f"/products/{add(old_price=30)['id']}"
    client.post(f"{path}/reviews", headers=alice, json={"rating": 4})
    return path


@pytest.fixture
def save(client, admin, lamp):
    """What the shop answers to an administrator who saves a form."""

    def save(form, if_match=None, *, method="PUT", by=client):
        return by.open(
            lamp, method=method, json=form, headers={**admin, **({"If-Match": if_match} if if_match else {})}
        )

    return save


@METHODS
@whatever_is_there
@given(product=PRODUCTS)
def test_what_was_shown_can_be_sent_back_and_changes_nothing(client, add, admin, method, product):
    path = f"/products/{add(**product)['id']}"
    stored = client.get(path)
    for public_url in ({}, LOCAL, {"X-Public-Url": "https://shop.example/our"}):
        shown = client.get(path, headers=public_url)
        assert shown.headers["ETag"] == stored.headers["ETag"]

        for if_match in ({}, {"If-Match": shown.headers["ETag"]}):
            saved = client.open(path, method=method, json=shown.json, headers={**admin, **public_url, **if_match})

            assert (saved.status_code, saved.json) == (200, shown.json)
            assert saved.headers["ETag"] == stored.headers["ETag"]
    assert client.get(path).json == stored.json


def test_a_picture_of_ours_is_kept_as_a_path_however_it_was_shown(client, lamp, save):
    shown = client.get(lamp, headers=LOCAL).json
    assert shown["image_url"] == "http://localhost:5000/images/parcel.svg"

    changed = client.put(
        lamp,
        json={"image_url": "http://127.0.0.1:5000/images/desk-lamp.svg"},
        headers={"Authorization": "Bearer admin", **LOCAL},
    )

    assert changed.json["image_url"] == "http://localhost:5000/images/desk-lamp.svg"
    assert client.get(lamp).json["image_url"] == "/images/desk-lamp.svg"


@METHODS
@pytest.mark.parametrize(
    ("field", "value"), [("id", 99), ("currency", "EUR"), ("rating", 5), ("rating", None), ("review_count", 0)]
)
def test_what_is_not_the_administrators_to_say_is_named(client, lamp, save, method, field, value):
    before = client.get(lamp).json

    refused = save({**before, "name": "Torch", field: value}, method=method)

    assert refused.status_code == 422
    assert refused.json["errors"] == [{"field": field, "message": "cannot be changed"}]
    assert client.get(lamp).json == before


def test_every_copy_has_a_strong_name_of_its_own(client, lamp, save, reserve):
    names = [client.get(lamp).headers["ETag"]]
    for change in (
        lambda: save({"name": "Torch"}),
        lambda: reserve(p1=1),
        lambda: client.post(f"{lamp}/reviews", headers={"Authorization": "Bearer bob"}, json={"rating": 1}),
    ):
        change()
        names.append(client.get(lamp).headers["ETag"])

    assert len(set(names)) == 4
    assert not any(name.startswith("W/") for name in names)
    assert client.get(lamp, headers={"If-None-Match": names[-1]}).status_code == 304
    assert client.get(lamp, headers={"If-None-Match": names[0]}).status_code == 200


@METHODS
@pytest.mark.parametrize("form", [{"name": "Torch"}, {"price": 1}, {"stock": 9}, {}])
def test_a_form_of_another_copy_is_refused_whatever_it_changes(client, lamp, save, reserve, method, form):
    copy = client.get(lamp).headers["ETag"]
    reserve(p1=1)
    before = client.get(lamp).json

    for stale in (copy, '"never-was"', f"W/{client.get(lamp).headers['ETag']}"):
        refused = save(form, stale, method=method)

        assert (refused.status_code, refused.json["code"]) == (412, "precondition_failed")
    assert client.get(lamp).json == before


@METHODS
def test_the_stock_of_the_copy_that_is_there_can_be_set(client, lamp, save, method):
    shown = client.get(lamp)

    saved = save({**shown.json, "stock": 9}, f'"another", {shown.headers["ETag"]}', method=method)

    assert (saved.status_code, saved.json["stock"]) == (200, 9)
    assert save({"stock": 8}, shown.headers["ETag"], method=method).status_code == 412


@METHODS
def test_a_stock_among_a_few_fields_is_meant(save, method):
    assert save({"stock": 8}, method=method).json["stock"] == 8
    assert save({"stock": 9, "price": 3}, method=method).json["stock"] == 9


@METHODS
def test_the_copy_that_a_save_answers_can_be_saved_again(save, method):
    saved = save({"stock": 9}, method=method)

    assert save({"stock": 8}, saved.headers["ETag"], method=method).json["stock"] == 8


@METHODS
@pytest.mark.parametrize("if_match", [None, "*", "", " , "])
def test_another_stock_needs_a_copy_and_is_never_set_back(client, lamp, save, reserve, method, if_match):
    form = client.get(lamp).json
    reserve(p1=2)

    refused = save({**form, "name": "Torch"}, if_match, method=method)

    assert (refused.status_code, refused.json["code"]) == (428, "precondition_required")
    assert client.get(lamp).json == {**form, "stock": form["stock"] - 2}


@METHODS
@pytest.mark.parametrize("if_match", [None, "*"])
def test_a_form_with_the_stock_that_is_there_needs_none(client, lamp, save, method, if_match):
    form = client.get(lamp).json

    assert save({**form, "name": "Torch"}, if_match, method=method).json == {**form, "name": "Torch"}


def test_of_forms_of_one_copy_that_are_saved_at_once_one_wins(client, lamp, save, at_once, reserve):
    copy = client.get(lamp).headers["ETag"]

    answers = at_once(4, lambda client, n: save({"stock": 100 + n}, copy, by=client))

    assert sorted(each.status_code for each in answers) == [200, 412, 412, 412]
    winner = next(each for each in answers if each.status_code == 200)
    assert client.get(lamp).json == winner.json


def test_a_sale_is_never_lost_to_a_form(client, lamp, save, at_once, reserve, move, on_shelf, the_books_balance):
    copy = client.get(lamp).headers["ETag"]

    def act(client, n):
        return reserve(by=client, p1=1) if n else save({"stock": 50}, copy, by=client)

    form, *sales = at_once(4, act)

    assert [each.status_code for each in sales] == [201] * 3
    assert form.status_code in (200, 412)
    assert on_shelf(1) == (50 if form.status_code == 200 else 5, 3)


def test_what_does_not_exist_is_a_404_first(client, admin):
    assert client.put("/products/9", headers={**admin, "If-Match": '"x"'}, json={"id": 8}).status_code == 404
