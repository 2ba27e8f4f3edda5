"""Changes to a tree that can be taken back: a new file, a copy of a part of a file."""

import re
from dataclasses import dataclass
from typing import Protocol

from kit.names import Rename
from kit.tree import KitError, Tree


class Edit(Protocol):
    """One change, and its opposite. Both raise KitError."""

    def do(self, tree: Tree) -> None:
        """Make the change."""

    def undo(self, tree: Tree, force: bool) -> None:
        """Take it back; with `force` also when someone has changed what was made."""


@dataclass(frozen=True)
class Create:
    """A new file."""

    path: str
    text: str
    like: str | None = None

    def do(self, tree: Tree) -> None:
        if tree.exists(self.path):
            raise KitError(f"The name is taken: {self.path} is there already")
        tree.write(self.path, self.text, self.like)

    def undo(self, tree: Tree, force: bool) -> None:
        if not tree.exists(self.path):
            if force:
                return
            raise KitError(f"{self.path} is missing; --force removes the rest")
        if not force and tree.read(self.path) != self.text:
            raise changed(self.path)
        tree.delete(self.path)


@dataclass(frozen=True)
class Part:
    """Lines of a file: from the one that starts with `first` as long as lines are
    indented deeper, or to the one that starts with `last` and on to `end`.

    `begin` is what stands before `first` and belongs to it.
    """

    first: str
    last: str | None = None
    begin: str = ""
    end: str = ""

    def find(self, text: str, rename: Rename = str) -> list[re.Match[str]]:
        """Where a text has the part, or a renamed copy of it."""
        line = r"[^\n]*"
        pattern = "^" + re.escape(self.begin) + re.escape(rename(self.first)) + line
        if self.last is None:
            indent = len(self.first) - len(self.first.lstrip())
            pattern += rf"(?:\n+ {{{indent + 1}}}{line})*"
        else:
            pattern += rf"\n.*?^{re.escape(rename(self.last))}{line}"
            pattern += f".*?{re.escape(self.end)}" if self.end else ""
        return list(re.finditer(pattern, text, re.MULTILINE | re.DOTALL))


@dataclass(frozen=True)
class Twin:
    """A renamed copy of a part of a file, right behind it.

    `comma` joins both by one. A file that is `optional` may be missing.
    """

    path: str
    part: Part
    rename: Rename
    comma: bool = False
    optional: bool = False

    def do(self, tree: Tree) -> None:
        if self.optional and not tree.exists(self.path):
            return
        text = tree.read(self.path)
        original = self._original(text)
        if self.part.find(text, self.rename):
            raise KitError(f"The name is taken: {self.path} has it already")
        copy = self._copy(text, original)
        tree.write(self.path, text[: original.end()] + copy + text[original.end() :])

    def undo(self, tree: Tree, force: bool) -> None:
        if self.optional and not tree.exists(self.path):
            return
        text = tree.read(self.path)
        found = self.part.find(text, self.rename)
        if len(found) != 1:
            if force and not found:
                return
            raise self._misses(self.rename(self.part.first), found)
        copy = self._copy(text, self._original(text))
        separator = copy[: len(copy) - len(copy.lstrip(",\n"))]
        start = found[0].start() - len(separator)
        expected = text[start : start + len(copy)] == copy
        if not force and not expected:
            raise changed(self.path)
        tree.write(self.path, text[:start] + text[found[0].end() :])

    def _original(self, text: str) -> re.Match[str]:
        found = self.part.find(text)
        if len(found) != 1:
            raise self._misses(self.part.first, found)
        return found[0]

    def _copy(self, text: str, original: re.Match[str]) -> str:
        alone = text[: original.start()].endswith("\n\n")
        separator = ",\n" if self.comma else "\n\n" if alone else "\n"
        return separator + self.rename(original[0])

    def _misses(self, first: str, found: list[re.Match[str]]) -> KitError:
        how = "more than one line that starts" if found else "no line that starts"
        return KitError(
            f"{self.path} has {how} with {first.strip()!r}: put the place back as it "
            "was, or make this change by hand"
        )


@dataclass(frozen=True)
class Word:
    """A renamed word behind each place of the word in lists: `[a, b]` or `a b c`.

    A file that has none, or is missing, needs no change.
    """

    path: str
    word: str
    rename: Rename

    def do(self, tree: Tree) -> None:
        if not tree.exists(self.path):
            return
        text, new = tree.read(self.path), self.rename(self.word)
        if re.search(rf"{re.escape(new)}\b", text):
            raise KitError(f"The name is taken: {self.path} has {new} already")
        listed = rf"(?<=[ \[]){re.escape(self.word)}(,? )"
        tree.write(self.path, re.sub(listed, rf"{self.word}\1{new}\1", text))

    def undo(self, tree: Tree, force: bool) -> None:
        if not tree.exists(self.path):
            return
        listed = rf"(?<=[ \[]){re.escape(self.rename(self.word))},? "
        tree.write(self.path, re.sub(listed, "", tree.read(self.path)))


def changed(path: str) -> KitError:
    """What was generated is not as it was."""
    return KitError(
        f"{path} was changed since it was generated: keep what you need of it, then "
        "remove with --force (make ... ARGS=--force)"
    )
