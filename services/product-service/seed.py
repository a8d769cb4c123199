"""The data of the demonstration: products of `products.json`, some reviews and favorites."""

from pathlib import Path

import orjson
import sqlalchemy as sa

from catalogue.models import Product
from catalogue.products import new_product
from catalogue.schemas import NewProduct
from favorites.models import Favorite
from models import db
from reviews.writing import put_review
from shopkit.seeding import add_in_order, fills, main
from stock.ledger import THIS_SERVICE, set_stock

PRODUCTS = Path(__file__).with_name("products.json")
ALICE, BOB, SUPPORT = (1, "alice"), (2, "bob"), (3, "support")

# product, who, rating, comment; alice has not reviewed the first product, so that she can
REVIEWS = [
    (1, BOB, 5, "I hear nothing of the train any more. Worth every cent."),
    (1, SUPPORT, 4, "Great sound, a little tight in the first week."),
    (2, BOB, 4, "Small and surprisingly loud."),
    (3, SUPPORT, 5, "My old records sound new."),
    (5, ALICE, 5, "Just the right light for late evenings."),
    (5, BOB, 4, "Stable and handsome. The switch could be larger."),
    (6, BOB, 3, "Types wonderfully, but the whole office hears it."),
    (9, ALICE, 5, "The best coffee I have made at home."),
    (10, SUPPORT, 5, "Tomatoes fall apart at the sight of it."),
    (11, BOB, 4, "Heavy, as it should be."),
    (13, SUPPORT, 4, "Dry after a whole night of rain."),
    (15, BOB, 2, "Keeps cold well, but mine got a dent on the first day."),
    (17, ALICE, 4, "Everything has its place."),
    (17, SUPPORT, 5, "Two years and still like new."),
    (23, BOB, 3, "Smells nice, though only when one sits beside it."),
]
FAVORITES = [(ALICE, 3), (ALICE, 13), (BOB, 6)]


@fills(Product)
def seed() -> None:
    """Fill an empty database; the ids of the products are their places in the list, as other services' data say."""
    products = [_new_product(NewProduct.model_validate(each)) for each in orjson.loads(PRODUCTS.read_bytes())]
    for product_id, (user_id, username), rating, comment in REVIEWS:
        put_review(products[product_id - 1], user_id, username, rating, comment)
        db.session.flush()
    add_in_order(Favorite(user_id=user_id, product_id=product_id) for (user_id, _), product_id in FAVORITES)
    # What was there from the beginning need not be published.
    db.session.execute(sa.update(Product).values(announced_stock=Product.stock))


def _new_product(new: NewProduct) -> Product:
    product = new_product(**new.model_dump(exclude={"stock"}))
    set_stock(product, new.stock, "opening stock", THIS_SERVICE)
    return product


if __name__ == "__main__":
    main()
