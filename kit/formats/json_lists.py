"""JSON: objects with a name or a user, in lists of the outermost object."""

import json
import re
from collections.abc import Iterator
from typing import Any

from kit.formats import Entry
from kit.tree import KitError


def entries(fragment: str) -> Iterator[Entry]:
    """Every item of every list."""
    for key, items in json.loads(fragment).items():
        yield from (Entry((key,), json.dumps(item)) for item in items)


def insert(text: str, entry: Entry) -> str:
    """Append it to the list."""
    whole, new = json.loads(text), json.loads(entry.text)
    items = _items(whole, entry)
    if _name(new) in map(_name, items):
        raise KitError(f"{_name(new)} already exists")
    items.append(new)
    return _written(whole)


def remove(text: str, entry: Entry, force: bool) -> str | None:
    """Remove the object with that name."""
    whole, made = json.loads(text), json.loads(entry.text)
    items = _items(whole, entry)
    for item in items:
        if item == made or force and _name(item) == _name(made):
            items.remove(item)
            return _written(whole)
    return None


def _name(item: dict[str, Any]) -> Any:
    """A permission is named by its user."""
    return item.get("name", item.get("user"))


def _items(whole: dict[str, Any], entry: Entry) -> list[Any]:
    (key,) = entry.place
    if not isinstance(whole.get(key), list):
        raise KitError(f"the list {key} is missing")
    items: list[Any] = whole[key]
    return items


def _written(whole: Any) -> str:
    """With each permission on one line, where entrypoint.sh looks for its user."""
    text = json.dumps(whole, indent=2, ensure_ascii=False) + "\n"
    return re.sub(r'\{\s*"user"[^{}]*\}', _on_one_line, text)


def _on_one_line(found: re.Match[str]) -> str:
    inside = re.sub(r"\s*\n\s*", " ", found[0].strip("{}")).strip()
    return f"{{{inside}}}"
