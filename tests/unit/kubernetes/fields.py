"""Fields of objects: their owners, as `fieldsV1` has them, and their values."""

import json
import re
from typing import Any

Fields = dict[str, Any]


def fields_of(value: Any) -> Fields:
    """The fields of a manifest, which the one who applies it owns."""
    if isinstance(value, dict):
        return {f"f:{key}": fields_of(inner) for key, inner in value.items()}
    if isinstance(value, list) and all(_is_named(each) for each in value):
        return {
            f"k:{json.dumps({'name': each['name']})}": {".": {}, **fields_of(each)}
            for each in value
        }
    return {}


def _is_named(each: Any) -> bool:
    return isinstance(each, dict) and "name" in each


def without(fields: Fields, taken: Fields) -> Fields:
    """The fields, but for those leaves that are taken."""
    return {
        key: without(inner, taken.get(key, {}))
        for key, inner in fields.items()
        if inner or key not in taken
    }


def value_at(found: Any, path: str) -> str:
    """What a path such as `jsonpath={.spec.ports[0].name}` leads to."""
    for name, place in re.findall(r"\.(\w+)|\[(\d+)\]", path):
        found = found[int(place)] if place else found.get(name, {})
    return str(found or "")
