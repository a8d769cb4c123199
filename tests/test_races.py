"""Buyers in processes of their own, racing for the last ones against services of several workers each.

Run as a script, this is one of the buyers: it says when it is ready, waits for the start and buys until all is sold.
"""

import json
import subprocess
import sys

import pytest
import requests

pytestmark = [pytest.mark.processes, pytest.mark.timeout(600), pytest.mark.xdist_group("killing")]

BUYERS = 8
LAST = 100
SEVERAL_WORKERS = {
    name: {"WEB_CONCURRENCY": 4} for name in ("auth-service", "product-service", "cart-service", "order-service")
}
PASSWORD = "correct horse"
CARD = {
    "card_number": "4242424242424242",
    "exp_month": 12,
    "exp_year": 2035,
    "cvc": "123",
    "cardholder_name": "A Buyer",
}
ADDRESS = {"address_line1": "1 Test Street", "city": "Testville", "postal_code": "97201", "country": "US"}


class Buyer:
    def __init__(self, url, name):
        self._url, self._session = url, requests.Session()
        self("POST", "/register", {"username": name, "email": f"{name}@example.com", "password": PASSWORD})
        session = self("POST", "/login", {"username": name, "password": PASSWORD}).json()
        self._session.headers["Authorization"] = f"Bearer {session['access_token']}"
        self._card = self("POST", "/payment-methods", CARD).json()["id"]

    def __call__(self, method, path, body=None):
        return self._session.request(method, self._url + path, json=body, timeout=60)

    def buy_one(self):
        put = self("POST", "/cart/items", {"product_id": 1, "quantity": 1})
        if put.status_code != 201:
            return put
        return self("POST", "/orders", {"payment_method_id": self._card, "shipping_address": ADDRESS})

    def buy_until_nothing_is_left(self):
        """The answers: status, and which order it is or why it is none."""
        answers = []
        while not answers or answers[-1][0] == 201:
            answer = self.buy_one()
            said = answer.json()
            answers.append((answer.status_code, said["id"] if answer.status_code == 201 else said["code"]))
        return answers


@pytest.fixture(scope="module")
def shop(open_shop):
    return open_shop(SEVERAL_WORKERS)


def _set_stock(shop, stock):
    alice = shop.token
    shop.token = shop.call("POST", "/login", {"username": "admin", "password": "password123"})[1]["access_token"]
    missing = stock - shop.call("GET", "/products/1")[1]["stock"]
    assert not missing or shop.call("POST", "/products/1/stock", {"change": missing, "reason": "a race"})[0] == 200
    shop.token = alice


def _race(shop):
    """What each buyer was answered."""
    buyers = [
        subprocess.Popen(  # noqa: S603
            [sys.executable, __file__, shop.url, f"buyer{number}"],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        for number in range(BUYERS)
    ]
    try:
        assert [buyer.stdout.readline() for buyer in buyers] == ["ready\n"] * BUYERS
        for buyer in buyers:
            buyer.stdin.write("go\n")
            buyer.stdin.flush()
        return [json.loads(buyer.communicate()[0]) for buyer in buyers]
    finally:
        for buyer in buyers:
            with buyer:  # closes its pipes and waits for it
                buyer.kill()


def test_of_the_last_hundred_each_is_sold_once_however_many_want_them(shop):
    _set_stock(shop, LAST)
    before = len(shop.orders())

    answers = _race(shop)

    bought = [order for each in answers for status, order in each if status == 201]
    assert [each[-1] for each in answers] == [[409, "out_of_stock"]] * BUYERS
    assert len(set(bought)) == len(bought) == LAST
    assert all(len(each) > 1 for each in answers), "each buyer got some"
    assert shop.call("GET", "/products/1")[1]["stock"] == 0
    shop.wait_until_settled()
    new = [order["status"] for order in shop.orders()[before:]]
    assert [status for status in new if status != "failed"] == ["confirmed"] * LAST
    assert shop.contradictions() == []


if __name__ == "__main__":
    buyer = Buyer(*sys.argv[1:])
    sys.stdout.write("ready\n")
    sys.stdout.flush()
    sys.stdin.readline()
    json.dump(buyer.buy_until_nothing_is_left(), sys.stdout)
