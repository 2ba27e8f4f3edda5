"""A new CRUD resource: `make new-resource` adds one file per layer.

It changes no other file: the application discovers tables and routers.
"""

import hashlib
import re
from datetime import date
from pathlib import PurePath

from kit.edits import Edit
from kit.names import Name, from_specimen
from kit.rendering import check_address, check_names, render
from kit.tree import KitError, Tree

TEMPLATES = "kit/templates/resource"
VERSIONS = "backend/alembic/versions"


def new(tree: Tree, name: Name) -> list[Edit]:
    """The edits that make the resource. Raises KitError, also if the name is taken."""
    table = name.plural.snake
    check_address(tree, name.plural.kebab)
    for path in tree.files("backend/app/models"):
        if path.endswith(".py") and f'__tablename__ = "{table}"' in tree.read(path):
            raise KitError(f"The name is taken: {path} has the table {table}")
    file = f"{date.today():%Y%m%d}_create_{table}.py"
    made = _edits(tree, name, file, head(tree))
    check_names(tree, made)
    return made


def existing(tree: Tree, name: Name) -> tuple[list[Edit], str]:
    """The edits that made an existing resource, and the revision that a database must
    go back to before it is removed. Raises KitError."""
    wanted = f"_create_{name.plural.snake}.py"
    found = [path for path in tree.files(VERSIONS) if path.endswith(wanted)]
    if len(found) != 1:
        raise KitError(
            f"{VERSIONS}/*{wanted} does not exist: check the resource's name"
        )
    revisions = _revisions(tree)
    revision, previous = revisions[found[0]]
    for path, (_, before) in revisions.items():
        if revision in before:
            raise KitError(
                f"{path} depends on the migration to be removed. First downgrade the "
                f"database (`make downgrade TO={previous[0]}`) and remove that file, "
                "or drop the table in a new migration"
            )
    return _edits(tree, name, PurePath(found[0]).name, previous[0]), previous[0]


def _edits(tree: Tree, name: Name, migration: str, previous: str) -> list[Edit]:
    words = {
        "create_specimens.py": migration,
        "PREVIOUS": previous,
        # A random id like Alembic's, not the next number: an update of the kit may use
        # that.
        "REVISION": hashlib.sha256(f"{previous} {name.snake}".encode()).hexdigest()[
            :12
        ],
    }
    return render(tree, TEMPLATES, from_specimen(name, words))


def head(tree: Tree) -> str:
    """The newest migration's revision. Raises KitError if there are several."""
    revisions = _revisions(tree).values()
    heads = {own for own, _ in revisions}.difference(*(each for _, each in revisions))
    if len(heads) != 1:
        raise KitError(
            f"{VERSIONS} has {len(heads)} newest migrations: run `make "
            "merge-revisions`"
        )
    return heads.pop()


def _revisions(tree: Tree) -> dict[str, tuple[str, list[str]]]:
    """The revision of each migration and the revisions before it."""
    found = {}
    for path in tree.files(VERSIONS):
        text = tree.read(path) if path.endswith(".py") else ""
        own = re.search(r'^revision\b.*?= ["\'](\w+)', text, re.MULTILINE)
        before = re.search(r"^down_revision\b.*?= (.*)", text, re.MULTILINE)
        if own and before:
            found[path] = (own[1], re.findall(r'["\'](\w+)["\']', before[1]))
    return found
