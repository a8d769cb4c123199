"""How the shop is, as a page for people: whether each service works, and how fast it says so."""

import base64
import hashlib
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

from flask import Response, make_response, render_template, request

from pages.openapi import TITLES

_STYLE = (Path(__file__).parent / "static" / "status.css").read_text()
_STYLE_HASH = base64.b64encode(hashlib.sha256(_STYLE.encode()).digest()).decode()
_CSP = (
    f"default-src 'none'; style-src 'sha256-{_STYLE_HASH}'; img-src data:; "
    "base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
)


@dataclass(frozen=True)
class ServiceHealth:
    """How one service is: how long it took to say that it works, and how many of its instances do."""

    milliseconds: float | None
    instances: int
    instances_ok: int

    @property
    def ok(self) -> bool:
        """Whether it can be used."""
        return self.instances_ok > 0

    @property
    def word(self) -> str:
        """away, degraded (some instances are away) or works."""
        if not self.ok:
            return "away"
        return "works" if self.instances_ok == self.instances else "degraded"


def is_wanted() -> bool:
    """Whether the client would rather have a page than JSON; one that does not care gets JSON."""
    accept = request.accept_mimetypes
    return accept["text/html"] > accept["application/json"]


def page(found: Mapping[str, ServiceHealth]) -> Response:
    services = [(TITLES[name], name, health) for name, health in found.items()]
    html = render_template(
        "status.html", services=services, overall=_overall(found), style=_STYLE, now=datetime.now(UTC)
    )
    response = make_response(html)
    response.cache_control.no_store = True
    response.vary.add("Accept")
    response.content_security_policy = _CSP
    return response


def _overall(found: Mapping[str, ServiceHealth]) -> tuple[str, str]:
    """In a word and in a sentence."""
    words = [health.word for health in found.values()]
    if away := words.count("away"):
        verb = "is" if away == 1 else "are"
        return "away", f"{away} of {len(words)} services {verb} away"
    if "degraded" in words:
        return "degraded", "Everything works, with less in reserve"
    return "works", "Everything works"
