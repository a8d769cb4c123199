"""The pictures of the products, from a folder of the service."""

from pathlib import Path

from flask import send_from_directory
from flask_openapi3 import APIBlueprint

from catalogue.schemas import PicturePath
from shopkit.auth import public
from shopkit.service import ViewResult

FOLDER = Path(__file__).parents[1] / "images"
DAY = 24 * 60 * 60
# A picture that is opened by itself must not be able to do anything.
HEADERS = {
    "Content-Security-Policy": "default-src 'none'; style-src 'unsafe-inline'",
    "X-Content-Type-Options": "nosniff",
}


def add_pictures(api: APIBlueprint) -> None:
    @api.get("/images/<file>", responses={200: {"content": {"image/svg+xml": {"schema": {"type": "string"}}}}})
    @public
    def show_picture(path: PicturePath) -> ViewResult:
        """Show a product's picture."""
        picture = send_from_directory(FOLDER, path.file, mimetype="image/svg+xml", max_age=DAY)
        picture.headers.update(HEADERS)
        return picture
