"""What goes into the favorites as JSON; products come out."""

from shopkit.schemas import Id, Input


class NewFavorite(Input):
    product_id: Id
