"""Renders a folder of templates, whose files have the same paths as in the project.

A file whose path names the specimen is a new file. Any other is a fragment of an
existing file, and contributes its entries. Lines between `# if OPTION` and `# end` are
for those who choose the option, `# if no OPTION` for the others; a file without lines
is not made.
"""

import re
from collections.abc import Collection, Iterator
from pathlib import PurePath

from kit.edits import FORMATS, Add, Create, Edit
from kit.formats import Entry
from kit.names import Rename, is_specimen
from kit.python import check, definitions, formatted
from kit.tree import KitError, Tree

PACKAGE = "backend/app"
ENDPOINTS = f"{PACKAGE}/api/v1/endpoints"


def render(
    tree: Tree, folder: str, rename: Rename, options: Collection[str] = ()
) -> list[Edit]:
    """All new files and entries. Raises KitError."""
    made: list[Edit] = []
    for source, path in _templates(tree, folder):
        text = chosen(tree.read(source), options)
        if is_specimen(path) and text:
            path, text = rename(path), rename(text)
            if path.endswith(".py"):
                check(path, text)
            made.append(Create(path, formatted(tree.root, path, text)))
    return [*made, *entries(tree, folder, rename, options)]


def entries(
    tree: Tree, folder: str, rename: Rename, options: Collection[str] = ()
) -> Iterator[Add]:
    """The entries in shared files only."""
    for source, path in _templates(tree, folder):
        if not is_specimen(path):
            text = chosen(tree.read(source), options)
            for entry in FORMATS[PurePath(path).suffix].entries(text):
                yield Add(path, Entry(entry.place, rename(entry.text)))


def chosen(text: str, options: Collection[str]) -> str:
    """The lines of a template that belong to the options."""

    def keep(found: re.Match[str]) -> str:
        return found[3] if (found[2] in options) is not bool(found[1]) else ""

    condition = r"^.*# if (no )?(\w+).*\n((?:.*\n)*?).*# end.*\n"
    return re.sub(condition, keep, text, flags=re.MULTILINE)


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
