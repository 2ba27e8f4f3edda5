"""Files that services share: their structure tells where an entry belongs."""

from collections.abc import Iterator
from typing import NamedTuple, Protocol


class Entry(NamedTuple):
    """The source of a key with its value, or of an item, and the mapping or list that
    it belongs to."""

    place: tuple[str, ...]
    text: str


class Format(Protocol):
    """What is done with a kind of file. All raise KitError."""

    def entries(self, fragment: str) -> Iterator[Entry]:
        """What a fragment of such a file (`kit/templates`) adds to the whole."""

    def insert(self, text: str, entry: Entry) -> str:
        """The text with the entry, behind the others of its place."""

    def remove(self, text: str, entry: Entry, force: bool) -> str | None:
        """The text without the entry. None if it is not there, or if it is another
        by now and `force` is not given."""
