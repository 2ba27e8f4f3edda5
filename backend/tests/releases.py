"""What a release promised to others: clients, other processes, the database.

`examples/<version>.json` is what the release of that version had. `make docs` writes it
for a new version: commit it with the release.
"""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

EXAMPLES = Path(__file__).parent / "examples"
# Bodies that clients send; they read all others.
REQUESTS = {"DataRequest", "AsyncDataRequest"}


def newest_example() -> dict[str, Any]:
    """That of the last release."""
    files = EXAMPLES.glob("*.json")
    newest = max(files, key=lambda file: [int(n) for n in file.stem.split(".")])
    found: dict[str, Any] = json.loads(newest.read_text())
    return found


def bodies(schema: dict[str, Any]) -> dict[str, Any]:
    """The fields of each body of an OpenAPI schema, and which of them are required."""
    return {
        name: {
            "fields": {
                field: content.get("type", "any")
                for field, content in body["properties"].items()
            },
            "required": sorted(body.get("required", [])),
        }
        for name, body in sorted(schema["components"]["schemas"].items())
        if "properties" in body
    }


def differences(old: dict[str, Any], new: dict[str, Any]) -> Iterator[str]:
    """What a client of the old release would notice."""
    for name, was in old.items():
        now = new.get(name)
        if now is None:
            yield f"{name} is gone"
            continue
        for field, kind in was["fields"].items():
            if field not in now["fields"]:
                yield f"{name}.{field} is gone"
            elif now["fields"][field] != kind:
                yield f"{name}.{field} was {kind}, and is {now['fields'][field]}"
        is_request = name in REQUESTS
        sooner, later = (now, was) if is_request else (was, now)
        for field in sorted({*sooner["required"]} - {*later["required"]}):
            word = "became" if is_request else "is no longer"
            yield f"{name}.{field} {word} required"
