"""What must hold after two requests have met: each yields what contradicts itself, given the world and both answers."""

from itertools import pairwise


def bought_once(world, *answers):
    """What was put in is in one order or still in the cart, and a 201 has its order."""
    product, standing = world.names["product"], world.standing_orders()
    bought = sum(each["quantity"] for items in standing.values() for each in items if each["product_id"] == product)
    in_cart = world.in_cart()[product]
    if bought + in_cart != 2:
        yield f"2 were put in; {bought} were bought, {in_cart} are in the cart"
    placed = {answer.json["id"] for answer in answers if answer.status_code == 201}
    if placed != set(standing):
        yield f"the orders {placed} were answered 201, {set(standing)} stand"


def says_where_it_is(world, *answers):
    """Whoever finds nothing to buy hears which order has it, or that there is nothing."""
    for answer in answers:
        if answer.status_code == 409 and answer.json["code"] not in ("checkout_in_progress", "cart_empty"):
            yield f"a checkout without goods was answered {answer.json['code']}"
        if (
            answer.status_code == 409
            and answer.json["code"] == "checkout_in_progress"
            and "order_id" not in answer.json
        ):
            yield "checkout_in_progress without its order_id"


def one_more_is_kept(world, checkout, add):
    """One more was put in: it is bought or in the cart."""
    both = world.bought() + world.in_cart()
    wanted = 2 + (add.status_code == 201)
    if both[world.names["product"]] != wanted:
        yield f"{wanted} were put in; bought {world.bought()}, in the cart {world.in_cart()}"


def the_other_is_kept(world, checkout, add):
    yield from bought_once(world, checkout)
    other = (world.bought() + world.in_cart())[world.names["other_product"]]
    if other != 1:
        yield f"of the other product 1 was put in (201), {other} are bought or in the cart"


def changed_is_changed(world, checkout, change):
    """A quantity that was answered 200 is what is bought or in the cart."""
    product, wanted = world.names["product"], 5 if change.status_code == 200 else 2
    both = (world.bought() + world.in_cart())[product]
    if both != wanted:
        yield f"{wanted} are wanted (changing: {change.status_code}), {both} are bought or in the cart"


def taken_out_is_not_bought(world, checkout, remove):
    """What was taken out (204) is not bought; what was being bought could not be taken out."""
    bought, in_cart = world.bought()[world.names["product"]], world.in_cart()[world.names["product"]]
    if (bought, in_cart) != ((0, 0) if remove.status_code == 204 else (2, 0)):
        yield f"taking out was answered {remove.status_code}; {bought} were bought, {in_cart} are in the cart"


def emptied_or_bought(world, checkout, empty):
    """An emptied cart is empty; what was bought was not in it any more."""
    bought, in_cart = world.bought()[world.names["product"]], world.in_cart()[world.names["product"]]
    if (bought, in_cart) != ((2, 0) if checkout.status_code == 201 else (0, 0)):
        yield f"checkout {checkout.status_code}; {bought} were bought, {in_cart} are in the cart"


def seen_is_charged(world, checkout, change):
    """The buyer saw 20."""
    yield from bought_once(world, checkout)
    if checkout.status_code == 201 and checkout.json["total_amount"] != 20:
        yield f"the buyer saw 20 and was charged {checkout.json['total_amount']}"


def an_address_is_whole(world, checkout, change):
    yield from bought_once(world, checkout)
    if checkout.status_code == 201:
        sent_to = checkout.json["shipping_address"]
        if (sent_to["address_line1"], sent_to["city"]) not in {
            ("1 Test Street", "Testville"),
            ("2 New Road", "Newtown"),
        }:
            yield f"the parcel goes to {sent_to}, half of one address and half of another"


def what_was_answered_stays(world, checkout, move):
    """A 201 stays an order that stands unless a cancellation was answered 200; money follows (all pairs check it)."""
    cancelled = move.status_code == 200 and move.json.get("status") == "cancelled"
    statuses = [order["status"] for order in world.orders()]
    if checkout.status_code == 201 and (statuses == ["cancelled"]) != cancelled:
        yield f"checkout 201, the other {move.status_code}; the order is {statuses}"
    if checkout.status_code == 201 and world.in_cart():
        yield f"what was bought is still in the cart: {world.in_cart()}"


def the_last_are_sold_once(world, one, other):
    sold = world.bought()[world.names["product"]] + world.bought("neighbour")[world.names["product"]]
    stock = world.get("buyer", "/products/{product}")["stock"]
    if sold + stock != 3:
        yield f"there were 3; {sold} are sold, {stock} are left"


def cancelled_is_cancelled(world, *answers):
    """Every 200 of a cancellation says that the money is back, and it stays so."""
    order = world.get("buyer", "/orders/{order}")
    for answer in answers:
        if answer.status_code == 200 and answer.json.get("status") == "cancelled":
            if answer.json["payment_status"] != "refunded":
                yield f"a cancellation was answered {answer.json['payment_status']}"
            if order["status"] != "cancelled":
                yield f"a cancellation was answered 200, the order is {order['status']}"
    for axis in ("status", "payment_status"):
        moves = [(each["before"], each["after"]) for each in order["history"] if each["axis"] == axis]
        if any(before != after for (_, before), (after, _) in pairwise(moves)):
            yield f"its history does not follow: {moves}"
    stock = world.get("buyer", "/products/{product}")["stock"]
    if stock != (10 if order["status"] == "cancelled" else 8):
        yield f"the order is {order['status']}, the stock {stock}"


def one_review_each(reviews):
    def one_review_each(world, *answers):
        product = world.get("buyer", "/products/{product}")
        found = world.get("buyer", "/products/{product}/reviews")
        if not len(found) == product["review_count"] == reviews:
            yield f"{reviews} people wrote one; there are {len(found)}, counted {product['review_count']}"
        average = sum(each["rating"] for each in found) / len(found)
        if abs(product["rating"] - average) > 0.05:
            yield f"rated {[each['rating'] for each in found]}, shown {product['rating']}"

    return one_review_each


def favorite_at_most_once(world, *answers):
    favorites = [each["id"] for each in world.get("buyer", "/favorites")]
    if favorites not in ([], [world.names["product"]]):
        yield f"the favorites are {favorites}"


def one_default_of(path, lengths):
    def one_default(world, *answers):
        rows = world.get("buyer", path)
        defaults = sum(row["is_default"] for row in rows)
        if len(rows) not in lengths or defaults != bool(rows):
            yield f"{path} has {len(rows)} rows, {defaults} of them default"

    return one_default


def both_fields_stay(path, **fields):
    def both_fields_stay(world, *answers):
        row = world.get("admin" if path.startswith("/products") else "buyer", path)
        if {name: row[name] for name in fields} != fields:
            yield f"both were answered 200, and {path} is {row}"

    return both_fields_stay


def acted_once(path, number):
    """Twice the same key is once the effect, and both hear of the same thing."""

    def acted_once(world, *answers):
        ids = {answer.json["id"] for answer in answers if answer.status_code in (200, 201)}
        if len(ids) != 1:
            yield f"one key, and the answers are about {ids}"
        if path and len(world.get("buyer", path)) != number:
            yield f"{path} has {len(world.get('buyer', path))} rows and should have {number}"

    return acted_once


def in_the_cart(*quantities):
    def in_the_cart(world, *answers):
        found = world.in_cart()[world.names["product"]]
        if found not in quantities:
            yield f"{found} are in the cart, and should be one of {quantities}"

    return in_the_cart


def as_many_as_were_accepted(world, *answers):
    accepted = 6 * sum(answer.status_code == 201 for answer in answers)
    if world.in_cart()[world.names["product"]] != accepted:
        yield f"{accepted} were accepted, {world.in_cart()} is in the cart"


def ticket_is_one_or_the_other(world, *answers):
    ticket = world.get("buyer", "/tickets/{ticket}")
    if (ticket["status"] == "closed") != (ticket["closed_at"] is not None):
        yield f"the ticket is {ticket['status']}, closed at {ticket['closed_at']}"
    said = sum(answer.status_code == 201 for answer in answers)
    if len(ticket["messages"]) != 1 + said:
        yield f"{said} replies were answered 201, there are {len(ticket['messages']) - 1}"


def one_account(world, *answers):
    login = {"username": f"new-{world.number}", "password": "correct horse"}
    alike = [world.ask(None, "POST", "/login", login).status_code, *(answer.status_code for answer in answers)]
    if sorted(alike) not in ([200, 201, 409],):
        yield f"one may register and can sign in; it was {alike}"


def all_sessions_hold(world, *answers):
    for answer in answers:
        for name in ("access_token", "refresh_token"):
            world.tokens["fresh"] = answer.json[name]
            path = ("GET", "/profile") if name == "access_token" else ("POST", "/refresh")
            said = world.ask("fresh", *path).status_code
            if said != 200:
                yield f"both were answered, and an {name} is refused: {said}"


def no_session_is_left(world, refresh, _):
    """After a logout no token of that session works, not even one that was given out at the same moment."""
    if refresh.status_code == 200:
        for name, path in (("access_token", ("GET", "/profile")), ("refresh_token", ("POST", "/refresh"))):
            world.tokens["fresh"] = refresh.json[name]
            said = world.ask("fresh", *path).status_code
            if said != 401:
                yield f"signed out, and the {name} of a refresh at that moment still serves: {said}"


def shelf_holds(*stocks):
    def shelf_holds(world, *answers):
        stock = world.get("admin", "/products/{product}")["stock"]
        if stock not in stocks:
            yield f"the stock is {stock}, and should be one of {stocks}"

    return shelf_holds


def accepted_changes_add_up(world, *answers):
    taken = sum(6 for answer in answers if answer.status_code == 200)
    if world.get("admin", "/products/{product}")["stock"] != 10 - taken:
        yield f"{taken} were taken away of 10, {world.get('admin', '/products/{product}')['stock']} are left"


def reduced_is_reduced(world, *answers):
    product = world.get("admin", "/products/{product}")
    if product["old_price"] is not None and product["old_price"] <= product["price"]:
        yield f"reduced from {product['old_price']} to {product['price']}"


def reservation_is(*statuses, stocks):
    def reservation_is(world, *answers):
        reservation = world.ask("service", "GET", "/internal/reservations/{reservation}")
        status = reservation.json["status"] if reservation.status_code == 200 else None
        stock = world.get("admin", "/products/{product}")["stock"]
        if status not in statuses or stock not in stocks:
            yield f"the reservation is {status}, the stock {stock}"
        # The checks of all pairs look for reservations without an order: this one has none.
        if status in ("held", "committed"):
            to = "restock" if status == "committed" else "release"
            world.ask("service", "POST", f"/internal/reservations/{{reservation}}/{to}")

    return reservation_is
