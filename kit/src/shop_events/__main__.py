"""Write the JSON Schema of each event into a folder: `python -m shop_events docs/events`"""

import sys
from pathlib import Path

import orjson

import shop_events  # noqa: F401 - declares them
from shopkit.events.types import KINDS, Event


def schema_of(kind: type[Event]) -> bytes:
    """What a message of this kind carries as its payload, as JSON Schema (draft 2020-12)."""
    schema = {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        **kind.model_json_schema(mode="serialization"),
        "x-publisher": kind.publisher,
        "x-subscribers": sorted(kind.subscribers),
    }
    return orjson.dumps(schema, option=orjson.OPT_INDENT_2 | orjson.OPT_APPEND_NEWLINE)


def main(folder: Path) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    for path in folder.glob("*.json"):
        if path.stem not in KINDS:
            path.unlink()
    for name, kind in KINDS.items():
        (folder / f"{name}.json").write_bytes(schema_of(kind))


if __name__ == "__main__":
    main(Path(sys.argv[1]))
