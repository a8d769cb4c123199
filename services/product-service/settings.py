"""What the product service reads from its environment, with its own defaults."""

from dataclasses import dataclass, field

import shopkit.settings


@dataclass(frozen=True, kw_only=True)
class Settings(shopkit.settings.Settings):
    port: int = 5003
    database_uri: str = field(default="sqlite:///product.db", repr=False)
