"""An order takes what it buys out of the cart, in one step that two cannot both do, and it leaves the cart once."""

from concurrent.futures import ThreadPoolExecutor
from uuid import UUID, uuid4

import pytest

from shopkit import retention

A, B = UUID(int=10), UUID(int=11)


@pytest.fixture
def cart(shelf, client, alice):
    return lambda: client.get("/cart", headers=alice).json


@pytest.fixture
def claim(client, service, cart):
    """Claim alice's cart as it is now, or another version of it, for an order."""

    def claim(reference=A, order_id=7, **changes):
        seen = cart()
        body = {"reference": str(reference), "order_id": order_id, "cart_id": seen["id"], "version": seen["version"]}
        return client.post("/internal/claims", json={**body, **changes}, headers=service)

    return claim


@pytest.fixture
def give_back(client, service):
    """The order has failed."""
    return lambda reference=A: client.post(f"/internal/claims/{reference}/return", headers=service)


@pytest.fixture
def confirm(client, service):
    """The order is confirmed, and the cart hears of it."""

    def confirm(reference=A, event_id=None):
        payload = {"order_id": 7, "reference": str(reference), "user_id": 1, "status": "confirmed", "total_amount": 1}
        payload |= {"currency": "USD", "items": [{"product_id": 2, "quantity": 1, "price": 1}]}
        event = {"id": str(event_id or uuid4()), "name": "order.confirmed", "payload": payload}
        event["occurred_at"] = "2026-03-01T12:00:00Z"
        response = client.post("/internal/events", json=event, headers=service)
        assert response.status_code == 204, response.text

    return confirm


def _quantities(items):
    return {item["product_id"]: item["quantity"] for item in items}


class TestClaiming:
    def test_what_is_claimed_is_no_longer_in_the_cart_but_in_checkout(self, seeded, claim, cart):
        assert claim().status_code == 201

        seen = cart()
        assert (seen["items"], seen["total"]) == ([], 0)
        assert seen["in_checkout"]["order_id"] == 7
        assert seen["in_checkout"]["items"][0] == {
            "order_id": 7,
            "product_id": 2,
            "product_name": "Desk Lamp",
            "product_image": "/images/2.svg",
            "price": 19.99,
            "quantity": 1,
            "subtotal": 19.99,
        }
        assert _quantities(seen["in_checkout"]["items"]) == {2: 1, 5: 2}

    def test_the_same_claim_again_changes_nothing(self, seeded, claim, cart):
        claim()
        before = cart()

        assert claim().status_code == 200
        assert cart() == before

    def test_a_cart_that_is_not_as_it_was_seen_is_not_claimed(self, seeded, put_in, claim, cart):
        seen = cart()
        put_in(2)

        response = claim(version=seen["version"])

        assert (response.status_code, response.json["code"]) == (409, "cart_changed")
        assert cart()["in_checkout"] is None

    def test_the_version_is_that_of_what_is_shown(self, put_in, network, find, cart):
        before = put_in(2).json

        def somebody_is_faster(request):
            network.on("GET", "/products", answer=find)
            with ThreadPoolExecutor(1) as another_tab:
                another_tab.submit(put_in, 5).result()
            return find(request)

        network.on("GET", "/products", answer=somebody_is_faster)

        seen = cart()

        assert (seen["items"], seen["version"]) == (before["items"], before["version"])
        assert cart()["version"] > before["version"]

    def test_every_change_moves_the_version_on(self, put_in, claim, give_back, confirm, cart, client, alice):
        versions = [cart()["version"]]
        item_id = put_in(2).json["items"][0]["id"]
        for change in (
            lambda: put_in(2),
            lambda: client.put(f"/cart/items/{item_id}", json={"quantity": 3}, headers=alice),
            claim,
            give_back,
            lambda: client.delete(f"/cart/items/{item_id}", headers=alice),
            lambda: client.delete("/cart", headers=alice),
            lambda: put_in(5),
            lambda: claim(B),
        ):
            change()
            versions.append(cart()["version"])

        assert versions == sorted(set(versions))

    def test_who_finds_nothing_left_is_told_which_order_has_it(self, seeded, claim, cart):
        seen = cart()
        claim()

        for response in (claim(B, order_id=8, version=seen["version"]), claim(B, order_id=8)):
            assert (response.status_code, response.json["code"]) == (409, "checkout_in_progress")
            assert response.json["order_id"] == 7

    def test_who_comes_when_all_is_bought_is_told_by_which_order(self, seeded, claim, confirm, cart, client, alice):
        seen = cart()
        claim()
        confirm()

        late = claim(B, order_id=8, version=seen["version"])
        assert (late.json["code"], late.json["order_id"]) == ("checkout_in_progress", 7)

        client.delete("/cart", headers=alice)
        assert claim(B, order_id=8, version=seen["version"]).json["code"] == "cart_changed"

    def test_who_comes_when_a_failed_order_s_lines_were_taken_out_hears_of_a_change(
        self, seeded, claim, give_back, cart, client, alice
    ):
        seen = cart()
        claim()
        give_back()
        client.delete("/cart", headers=alice)

        assert claim(B, order_id=8, version=seen["version"]).json["code"] == "cart_changed"

    def test_what_is_put_in_meanwhile_can_be_claimed_by_another_order(self, seeded, put_in, claim, cart):
        claim()
        put_in(5, 3)

        assert claim(B, order_id=8).status_code == 201
        assert cart()["in_checkout"]["order_id"] == 8
        claimed = [(each["order_id"], each["product_id"], each["quantity"]) for each in cart()["in_checkout"]["items"]]
        assert claimed == [(7, 2, 1), (7, 5, 2), (8, 5, 3)]

    def test_the_order_that_is_named_is_the_newest_whatever_lay_longest_in_the_cart(
        self, put_in, claim, give_back, cart
    ):
        put_in(2)
        claim(A, order_id=7)
        put_in(5)
        claim(B, order_id=8)
        give_back(A)

        assert claim(UUID(int=12), order_id=9).status_code == 201
        assert cart()["in_checkout"]["order_id"] == 9

    def test_an_empty_cart_is_not_claimed(self, claim):
        assert claim().json["code"] == "cart_changed"

    def test_a_cart_that_does_not_exist_is_a_404(self, claim):
        assert claim(cart_id=99).status_code == 404

    def test_of_many_who_claim_at_once_one_gets_it(self, app, seeded, service, cart):
        seen = cart()

        def claim(number):
            body = {"reference": str(uuid4()), "order_id": number, "cart_id": seen["id"], "version": seen["version"]}
            return app.test_client().post("/internal/claims", json=body, headers=service).status_code

        with ThreadPoolExecutor(8) as pool:
            statuses = sorted(pool.map(claim, range(1, 9)))

        assert statuses == [201] + [409] * 7

    @pytest.mark.parametrize("who", ["alice", "admin"])
    @pytest.mark.parametrize("path", ["/internal/claims", f"/internal/claims/{A}/return"])
    def test_only_services_claim(self, client, request, who, path):
        assert client.post(path, json={}, headers=request.getfixturevalue(who)).status_code == 403


class TestWhatIsClaimed:
    @pytest.fixture
    def item_id(self, put_in, claim):
        item_id = put_in(2, 4).json["items"][0]["id"]
        claim()
        return item_id

    @pytest.mark.parametrize(("method", "body"), [("PUT", {"quantity": 1}), ("PUT", {"quantity": 0}), ("DELETE", None)])
    def test_it_cannot_be_changed(self, item_id, client, alice, cart, method, body):
        response = client.open(f"/cart/items/{item_id}", method=method, json=body, headers=alice)

        assert (response.status_code, response.json["code"]) == (409, "checkout_in_progress")
        assert response.json["order_id"] == 7
        assert _quantities(cart()["in_checkout"]["items"]) == {2: 4}

    def test_emptying_the_cart_leaves_it_alone(self, item_id, put_in, client, alice, cart):
        put_in(5)

        assert client.delete("/cart", headers=alice).status_code == 204
        assert (cart()["items"], _quantities(cart()["in_checkout"]["items"])) == ([], {2: 4})

    def test_putting_in_the_same_product_makes_a_line_of_its_own(self, item_id, put_in, cart):
        assert _quantities(put_in(2).json["items"]) == {2: 1}
        assert _quantities(cart()["in_checkout"]["items"]) == {2: 4}

    def test_it_counts_for_what_a_cart_may_hold(self, put_in, claim, shelf):
        put_in(5, 60)
        claim()

        assert put_in(5, 40).json["code"] == "too_many"
        assert put_in(5, 39).status_code == 201


class TestFailure:
    def test_what_was_claimed_is_back_as_it_was(self, seeded, claim, give_back, cart):
        before = cart()
        claim()

        assert give_back().status_code == 204
        assert {**cart(), "version": None} == {**before, "version": None}

    def test_it_adds_up_with_what_was_put_in_meanwhile(self, seeded, put_in, claim, give_back, cart):
        claim()
        put_in(5, 3)
        give_back()

        assert _quantities(cart()["items"]) == {2: 1, 5: 5}

    def test_repeating_it_changes_nothing(self, seeded, claim, give_back, cart):
        claim()
        give_back()
        before = cart()

        assert give_back().status_code == 204
        assert cart() == before

    def test_a_claim_that_arrives_later_finds_that_it_has_ended(self, seeded, claim, give_back, cart):
        before = cart()
        give_back()
        give_back()

        response = claim()

        assert (response.status_code, response.json["code"]) == (409, "claim_ended")
        assert cart() == before

    def test_the_same_lines_can_be_claimed_by_the_next_order(self, seeded, claim, give_back):
        claim()
        give_back()

        assert claim().json["code"] == "claim_ended"
        assert claim(B).status_code == 201


class TestConfirmation:
    def test_what_was_bought_is_gone_and_nothing_else(self, seeded, put_in, claim, confirm, cart):
        claim()
        put_in(5, 3)

        confirm()

        assert (_quantities(cart()["items"]), cart()["in_checkout"]) == ({5: 3}, None)

    def test_who_is_buying_the_next_things_meanwhile_is_not_told_that_the_cart_has_changed(
        self, seeded, put_in, claim, confirm, cart
    ):
        claim()
        put_in(5, 3)
        seen = cart()

        confirm()

        assert claim(B, order_id=8, version=seen["version"]).status_code == 201

    def test_hearing_of_it_again_takes_nothing_more(self, seeded, put_in, claim, confirm, cart):
        claim()
        confirm(event_id=uuid4())
        put_in(2, 2)
        before = cart()

        confirm(event_id=uuid4())

        assert cart() == before

    def test_what_is_confirmed_is_not_given_back(self, seeded, claim, confirm, give_back, cart):
        claim()
        confirm()
        give_back()

        assert cart()["items"] == []

    @pytest.fixture
    def from_before(self, app, fill, shelf):
        """A cart that was filled before there were claims, as the migration leaves it."""
        import models

        fill({2: 4, 5: 1})
        with app.app_context():
            models.db.session.execute(models.db.update(models.Cart).values(version=-1))
            models.db.session.commit()

    def test_what_an_order_bought_before_there_were_claims_is_gone_once(self, from_before, confirm, cart):
        confirm()
        assert (_quantities(cart()["items"]), cart()["total"]) == ({2: 3, 5: 1}, 66.97)

        confirm(event_id=uuid4())
        confirm(B)
        assert _quantities(cart()["items"]) == {2: 3, 5: 1}

    def test_what_was_put_in_before_there_were_claims_can_be_claimed(self, from_before, claim, cart):
        assert claim().status_code == 201
        assert (cart()["items"], cart()["version"]) == ([], 0)

    def test_a_cart_that_was_changed_since_there_are_claims_is_left_alone(self, from_before, put_in, confirm, cart):
        put_in(2)

        confirm()

        assert _quantities(cart()["items"]) == {2: 5, 5: 1}

    def test_an_order_that_claimed_nothing_takes_nothing(self, seeded, confirm, cart):
        before = cart()

        confirm()

        assert cart() == before


def test_claims_that_ended_long_ago_are_forgotten(app, seeded, claim, confirm):
    from datetime import timedelta

    import models

    claim()
    confirm()
    claim(B)
    with app.app_context():
        ended = models.db.session.get(models.Claim, A)
        ended.ended_at -= timedelta(days=91)
        models.db.session.commit()

        retention.sweep()

        assert [each.reference for each in models.db.session.scalars(models.db.select(models.Claim))] == []


class TestNoLongerSold:
    def test_what_is_no_longer_sold_stays_in_the_cart_and_says_so(self, put_in, withdraw, shelf, cart):
        put_in(2, 2)
        put_in(5)
        withdraw(2)

        seen = cart()

        assert [problem["code"] for problem in seen["items"][0]["problems"]] == ["no_longer_sold"]
        assert seen["items"][0]["product_name"] == "Desk Lamp"
        assert (seen["has_problems"], seen["total"]) == (True, 46.98)

    def test_it_counts_for_what_the_buyer_saw(self, put_in, withdraw, shelf, withdrawn, cart):
        put_in(2)
        withdraw(2)
        withdrawn[2]["price"] = 1

        assert cart()["total"] == 19.99

    def test_where_no_price_was_kept_todays_counts(self, seeded, withdraw, withdrawn, cart):
        withdraw(2)
        withdrawn[2]["price"] = 20

        assert cart()["items"][0]["price"] == 20

    def test_it_can_be_taken_out_and_nothing_else(self, put_in, withdraw, client, alice, cart):
        item_id = put_in(2, 2).json["items"][0]["id"]
        withdraw(2)

        changed = client.put(f"/cart/items/{item_id}", json={"quantity": 1}, headers=alice)
        more = put_in(2)
        taken_out = client.put(f"/cart/items/{item_id}", json={"quantity": 0}, headers=alice)

        assert (changed.status_code, changed.json["code"]) == (409, "no_longer_sold")
        assert more.status_code == 404
        assert (taken_out.status_code, taken_out.json["items"]) == (200, [])

    def test_what_even_the_product_service_knows_nothing_of_is_said_too(self, put_in, shelf, cart):
        put_in(2)
        del shelf[2]

        [item] = cart()["items"]

        assert (item["product_name"], item["price"]) == ("Product 2", 19.99)
        assert [problem["code"] for problem in item["problems"]] == ["no_longer_sold"]

    def test_a_hundred_that_are_no_longer_sold_fill_the_cart_visibly(self, fill, put_in, shelf, withdrawn, cart):
        withdrawn.update({number: {**shelf[5], "id": number} for number in range(1001, 1101)})
        fill(dict.fromkeys(withdrawn, 1))

        assert put_in(2).json["code"] == "cart_full"
        assert len(cart()["items"]) == 100
