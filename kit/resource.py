"""A new CRUD resource: what `make new-resource` adds, a file for each layer.

Nothing else is changed: tables and routers are found by the application.
"""

import hashlib
import re
from datetime import date

from kit.edits import Create, Edit
from kit.names import Name
from kit.service import ENDPOINTS, check_address, check_functions, from_template
from kit.tree import KitError, Tree

TEMPLATES = "kit/templates/resource"
VERSIONS = "backend/alembic/versions"

FILES = {
    "models.py": "backend/app/models/{name}.py",
    "repository.py": "backend/app/repositories/{name}_repository.py",
    "service.py": "backend/app/services/{name}_service.py",
    "endpoint.py": "backend/app/api/v1/endpoints/{name}.py",
    "test_unit.py": "backend/tests/unit/test_{name}.py",
    "test_integration.py": "backend/tests/integration/test_{name}.py",
    "test_e2e.py": "tests/e2e/test_{name}.py",
}


def check(tree: Tree, name: Name) -> None:
    """Raises KitError if something else has the name already."""
    table = name.plural.snake
    check_address(tree, name.plural.kebab, f"{ENDPOINTS}/{name.snake}.py")
    for path in tree.files("backend/app/models"):
        if path.endswith(".py") and f'__tablename__ = "{table}"' in tree.read(path):
            raise KitError(f"The name is taken: {path} has the table {table}")


def new(tree: Tree, name: Name) -> list[Edit]:
    """Everything that makes the resource. Raises KitError."""
    head = _head(tree)
    path = f"{VERSIONS}/{date.today():%Y%m%d}_create_{name.plural.snake}.py"
    return [*_layers(tree, name), _migration(tree, name, path, head)]


def existing(tree: Tree, name: Name) -> list[Edit]:
    """What made the resource that is there. Raises KitError."""
    wanted = f"_create_{name.plural.snake}.py"
    found = [path for path in tree.files(VERSIONS) if path.endswith(wanted)]
    if len(found) != 1:
        raise KitError(f"{VERSIONS}/*{wanted} is missing: is there such a resource?")
    revisions = _revisions(tree)
    revision, previous = revisions[found[0]]
    for path, (_, before) in revisions.items():
        if revision in before:
            raise KitError(
                f"{path} follows the migration that would go: remove it first, or drop "
                "the table by a migration of its own"
            )
    return [*_layers(tree, name), _migration(tree, name, found[0], previous[0])]


def previous_revision(tree: Tree, name: Name) -> str:
    """The revision that a database must go back to before the resource is removed."""
    path = next(p for p in tree.files(VERSIONS) if _creates(p, name))
    return _revisions(tree)[path][1][0]


def _creates(path: str, name: Name) -> bool:
    return path.endswith(f"_create_{name.plural.snake}.py")


def _layers(tree: Tree, name: Name) -> list[Edit]:
    made = []
    for template, target in FILES.items():
        path = target.format(name=name.snake)
        made.append(from_template(tree, f"{TEMPLATES}/{template}", path, name))
        if template == "endpoint.py":
            check_functions(tree, path, made[-1].text)
    return [*made]


def _migration(tree: Tree, name: Name, path: str, previous: str) -> Create:
    made = from_template(tree, f"{TEMPLATES}/migration.py", path, name)
    text = made.text.replace("PREVIOUS", previous)
    return Create(path, text.replace("REVISION", _revision(previous, name)))


def _revision(previous: str, name: Name) -> str:
    """Like Alembic's own ids, and not the next number: an update may bring that."""
    return hashlib.sha256(f"{previous} {name.snake}".encode()).hexdigest()[:12]


def _head(tree: Tree) -> str:
    revisions = _revisions(tree).values()
    heads = {own for own, _ in revisions}.difference(*(each for _, each in revisions))
    if len(heads) != 1:
        raise KitError(f"{VERSIONS} has {len(heads)} newest migrations: merge them")
    return heads.pop()


def _revisions(tree: Tree) -> dict[str, tuple[str, list[str]]]:
    """Revision and those before it, of each migration."""
    found = {}
    for path in tree.files(VERSIONS):
        text = tree.read(path) if path.endswith(".py") else ""
        own = re.search(r'^revision\b.*?= ["\'](\w+)', text, re.MULTILINE)
        before = re.search(r"^down_revision\b.*?= (.*)", text, re.MULTILINE)
        if own and before:
            found[path] = (own[1], re.findall(r'["\'](\w+)["\']', before[1]))
    return found
