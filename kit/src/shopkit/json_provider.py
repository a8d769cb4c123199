"""JSON by orjson, for Flask: a tenth of the standard library's time."""

from typing import Any

import orjson
from flask.json.provider import JSONProvider


def dumps(value: Any) -> str:
    return orjson.dumps(value, option=orjson.OPT_UTC_Z).decode()


class OrjsonProvider(JSONProvider):
    def dumps(self, obj: Any, **_: Any) -> str:
        return dumps(obj)

    def loads(self, s: str | bytes, **_: Any) -> Any:
        return orjson.loads(s)
