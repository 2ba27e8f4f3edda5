"""Renders a folder of templates, whose files have the same paths as in the project.

A file whose path names the specimen is a new file. Any other is a fragment of an
existing file, and contributes its entries.
"""

from collections.abc import Iterator
from pathlib import PurePath

from kit.edits import FORMATS, Add, Create, Edit
from kit.formats import Entry
from kit.names import Rename, is_specimen
from kit.python import check, definitions, formatted
from kit.tree import KitError, Tree

PACKAGE = "backend/app"
ENDPOINTS = f"{PACKAGE}/api/v1/endpoints"


def render(tree: Tree, folder: str, rename: Rename) -> list[Edit]:
    """All new files and entries. Raises KitError."""
    made: list[Edit] = []
    for source, path in _templates(tree, folder):
        if is_specimen(path):
            path, text = rename(path), rename(tree.read(source))
            if path.endswith(".py"):
                check(path, text)
            made.append(Create(path, formatted(tree.root, path, text)))
    return [*made, *entries(tree, folder, rename)]


def entries(tree: Tree, folder: str, rename: Rename) -> Iterator[Add]:
    """The entries in shared files only."""
    for source, path in _templates(tree, folder):
        if not is_specimen(path):
            for entry in FORMATS[PurePath(path).suffix].entries(tree.read(source)):
                yield Add(path, Entry(entry.place, rename(entry.text)))


def _templates(tree: Tree, folder: str) -> Iterator[tuple[str, str]]:
    return ((path, path.removeprefix(f"{folder}/")) for path in tree.files(folder))


def check_names(tree: Tree, made: list[Edit]) -> None:
    """Raise KitError if the backend already has a class or function of that name."""
    new = {
        name: edit.path
        for edit in made
        if isinstance(edit, Create) and edit.path.startswith(f"{PACKAGE}/")
        for name in definitions(edit.path, edit.text)
    }
    for path in tree.files(PACKAGE):
        if path.endswith(".py") and path not in new.values():
            for name in definitions(path, tree.read(path)) & set(new):
                raise KitError(f"The name is taken: {path} has {name}")


def check_address(tree: Tree, address: str) -> None:
    """Raise KitError if an endpoint already has the address."""
    for path in tree.files(ENDPOINTS):
        if path.endswith(".py") and f'prefix="/{address}"' in tree.read(path):
            raise KitError(f"The name is taken: {path} serves /api/v1/{address}")
