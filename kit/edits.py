"""Reversible changes to a tree: a new file, or an entry in a shared file."""

from pathlib import PurePath
from typing import NamedTuple, Protocol

from kit.formats import Entry, Format, json_lists, python_tuples, yaml_lines
from kit.python import formatted
from kit.tree import KitError, Tree

FORMATS: dict[str, Format] = {
    ".json": json_lists,
    ".py": python_tuples,
    ".yaml": yaml_lines,
    ".yml": yaml_lines,
}


class Edit(Protocol):
    """One change and its reversal. Both methods raise KitError."""

    def do(self, tree: Tree) -> None:
        """Make the change."""

    def undo(self, tree: Tree, force: bool) -> None:
        """Reverse it; with `force` even if someone has edited the result."""


class Create(NamedTuple):
    """A new file."""

    path: str
    text: str

    def do(self, tree: Tree) -> None:
        if tree.exists(self.path):
            raise KitError(f"The name is taken: {self.path} already exists")
        tree.write(self.path, self.text)

    def undo(self, tree: Tree, force: bool) -> None:
        if tree.exists(self.path) and (force or tree.read(self.path) == self.text):
            tree.delete(self.path)
        elif not force:
            raise _changed(self.path)


class Add(NamedTuple):
    """An entry in a shared file. Compose files and manifests may be missing in a
    project that does not use them."""

    path: str
    entry: Entry

    def do(self, tree: Tree) -> None:
        if self._is_for(tree):
            try:
                text = self._format.insert(tree.read(self.path), self.entry)
            except KitError as error:
                raise KitError(f"{self.path} cannot be extended: {error}") from error
            tree.write(self.path, formatted(tree.root, self.path, text))

    def undo(self, tree: Tree, force: bool) -> None:
        text: str | None = None
        if self._is_for(tree):
            try:
                text = self._format.remove(tree.read(self.path), self.entry, force)
            except KitError:
                pass  # its place is gone
            if text is not None:
                tree.write(self.path, formatted(tree.root, self.path, text))
            elif not force:
                raise _changed(self.path)

    @property
    def _format(self) -> Format:
        return FORMATS[PurePath(self.path).suffix]

    def _is_for(self, tree: Tree) -> bool:
        return tree.exists(self.path) or self.path.endswith(".py")


def _changed(path: str) -> KitError:
    return KitError(
        f"{path} was changed since it was generated, or the kit's template was: save "
        "what you need of it, then repeat the command with ARGS=--force"
    )
