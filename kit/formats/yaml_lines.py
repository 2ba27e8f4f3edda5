"""YAML: keys with their values, and list items, with the comments above them.

The parser finds where an entry is or belongs, and only its lines change. Writing the
whole document would reformat what people wrote by hand.
"""

import re
from collections.abc import Iterator, Mapping
from functools import cache
from textwrap import dedent, indent
from typing import Any, NamedTuple

from ruamel.yaml import YAML
from ruamel.yaml.composer import Composer
from ruamel.yaml.error import YAMLError
from ruamel.yaml.events import AliasEvent
from ruamel.yaml.nodes import ScalarNode

from kit.formats import Entry
from kit.names import is_specimen
from kit.tree import KitError

Place = tuple[str, ...]
Node = Any  # from ruamel.yaml, whose own type lacks most of its attributes


def entries(fragment: str) -> Iterator[Entry]:
    """All list items, and the keys that name the specimen; other keys only lead
    there."""
    return _Document(fragment).entries(())


def insert(text: str, entry: Entry) -> str:
    """Insert it below the last entry of its place, with the indentation of the
    first."""
    document = _Document(text)
    line, container = document.find(entry.place)
    parts = document.parts(container)
    if (name := _part(entry).name) in [part.name for part in parts]:
        raise KitError(f"{name} already exists")
    if parts and container.flow_style:
        raise KitError(
            f"{'.'.join(entry.place)} is on one line: put each entry on its own line"
        )
    if not parts:  # written `key: []` or `key: {}`
        document.lines[line] = re.sub(r" *(\[ *\]|\{ *\})", "", document.lines[line])
    column = parts[0].column if parts else document.column(line) + 2
    end = (parts[-1].last if parts else line) + 1
    document.lines.insert(end, _at(column, entry))
    return str(document)


def remove(text: str, entry: Entry, force: bool) -> str | None:
    """Remove the entry with that key, name or value, and the comments it came with."""
    document = _Document(text)
    line, container = document.find(entry.place)
    parts = document.parts(container)
    found = next((p for p in parts if p.name == _part(entry).name), None)
    if found is None:
        return None
    made = _at(found.column, entry)
    above = re.match(r"(\s*(#.*)?\n)*", made)
    first = max(found.first - (above[0].count("\n") if above else 0), line + 1)
    if "".join(document.lines[first : found.last + 1]) != made:
        if not force:
            return None
        first = found.first
    del document.lines[first : found.last + 1]
    if len(parts) == 1:
        empty = " {}" if container.id == "mapping" else " []"
        head = document.lines[line]
        document.lines[line] = re.sub(r":(?=\s*(#.*)?$)", f":{empty}", head, count=1)
    return str(document)


def load(text: str) -> Any:
    """Values as texts, aliases as `*name`, to inspect the source."""
    return _data(_Document(text).root)


def set_values(text: str, values: Mapping[Place, str]) -> str:
    """Replace values with others of one word."""
    document = _Document(text)
    nodes = [(document.find(place)[1], value) for place, value in values.items()]
    # From the end: what is before keeps its place.
    for node, value in sorted(nodes, key=lambda n: n[0].start_mark.index, reverse=True):
        text = text[: node.start_mark.index] + value + text[node.end_mark.index :]
    return text


class _Part(NamedTuple):
    """A key with its value, or a list item."""

    name: object  # distinguishes the parts of one place
    key: str | None
    value: Node
    first: int
    last: int
    column: int


class _Document:
    """The lines of a document, and the nodes on them."""

    def __init__(self, text: str) -> None:
        self.lines = text.splitlines(keepends=True)
        self.root = _root(text)

    def __str__(self) -> str:
        return "".join(self.lines)

    def entries(self, place: Place) -> Iterator[Entry]:
        line, container = self.find(place)
        above = line + 1 if place else container.start_mark.line
        for part in self.parts(container):
            if part.key is None or is_specimen(part.key):
                yield Entry(place, "".join(self.lines[above : part.last + 1]))
            else:
                yield from self.entries((*place, part.key))
            above = part.last + 1

    def find(self, place: Place) -> tuple[int, Node]:
        """The line of a place's key, and its node."""
        line, node = -1, self.root
        for step in place:
            found = [part for part in self.parts(node) if part.key == step]
            if not found:
                raise KitError(f"{'.'.join(place)} is missing")
            line, node = found[0].first, found[0].value
        return line, node

    def parts(self, node: Node) -> list[_Part]:
        """The parts of a mapping or list; none for a scalar."""
        if node.id == "scalar":
            return []
        pairs = node.value if node.id == "mapping" else [(None, n) for n in node.value]
        return [self._part(key, value) for key, value in pairs]

    def _part(self, key: Node | None, value: Node) -> _Part:
        first = (key or value).start_mark.line
        data = _data(value)
        name = data.get("name", data) if isinstance(data, dict) else data
        text = key.value if key else None
        last = self._last(value, first)
        return _Part(text or name, text, value, first, last, self.column(first))

    def column(self, line: int) -> int:
        return len(self.lines[line]) - len(self.lines[line].lstrip())

    def _last(self, node: Node, first: int) -> int:
        """The last line of a value that begins on the line of its key."""
        if node.id != "scalar" and node.value and not node.flow_style:
            return self.parts(node)[-1].last
        if node.start_mark.index == node.end_mark.index:  # an empty value
            return first
        line: int = node.end_mark.line
        if node.end_mark.column == 0:  # a text of several lines
            line -= 1
            while not self.lines[line].strip():
                line -= 1
        return line


@cache
def _root(text: str) -> Node:
    """The outermost node. Nobody changes nodes, and reading a large file takes long."""
    yaml = YAML(typ="safe", pure=True)
    yaml.Composer = _Composer
    try:
        return yaml.compose(text)
    except YAMLError as error:
        raise KitError(f"invalid YAML: {error}") from error


class _Composer(Composer):
    """Keeps an alias as it is written: a place in the text, with a name."""

    def compose_node(self, parent: Any, index: Any) -> Any:
        if not self.parser.check_event(AliasEvent):
            return super().compose_node(parent, index)
        event = self.parser.get_event()
        return ScalarNode("", f"*{event.anchor}", event.start_mark, event.end_mark)


def _part(entry: Entry) -> _Part:
    document = _Document(entry.text)
    (part,) = document.parts(document.root)
    return part


def _data(node: Node) -> Any:
    if node.id == "mapping":
        return {key.value: _data(value) for key, value in node.value}
    return [_data(n) for n in node.value] if node.id == "sequence" else node.value


def _at(column: int, entry: Entry) -> str:
    return indent(dedent(entry.text), " " * column)
