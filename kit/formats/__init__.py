"""Formats of shared files: their structure determines where an entry belongs."""

from collections.abc import Iterator
from typing import NamedTuple, Protocol


class Entry(NamedTuple):
    """The source of a key with its value, or of an item, and the mapping or list that
    it belongs to."""

    place: tuple[str, ...]
    text: str


class Format(Protocol):
    """Operations on one kind of file. All raise KitError."""

    def entries(self, fragment: str) -> Iterator[Entry]:
        """The entries that a fragment of such a file (`kit/templates`) adds to the
        whole."""

    def insert(self, text: str, entry: Entry) -> str:
        """The text with the entry, after the others of its place."""

    def remove(self, text: str, entry: Entry, force: bool) -> str | None:
        """The text without the entry. None if it is missing, or if it was changed and
        `force` is not given."""
