"""The project's own name: what `make rename` changes.

The names below are renamed too, so a project can be renamed again.
"""

import re
import subprocess
from collections.abc import Iterator

import black

from kit.names import Name
from kit.tree import SKIPPED, KitError, NotText, Tree

TITLE = "FastAPI microservices starter"
PACKAGE = "fastapi-microservices-starter"
PROJECT = "fastapi-starter"
DATABASE = "fastapi_db"
CONTAINERS = ("fastapi-api", "fastapi-celery", "fastapi-migrations")

# Containers, objects of Kubernetes and lines of code have the name and more in them.
LONGEST = 20

DONE = """{files} files say {kebab} now: images, containers, namespaces of Kubernetes
and telemetry, titles, the database {database}. `make test` tries it.

Not changed: .env, and the data of a stack that ran already. Look for old names in .env;
`make clean` removes the local stack's data. Pictures show the old title."""


def spellings(name: Name) -> dict[str, str]:
    """Each name of the project, and the one that takes its place."""
    return {
        TITLE: name.title,
        PACKAGE: name.kebab,
        PROJECT: name.kebab,
        DATABASE: f"{name.snake}_db",
        **{each: f"{name.kebab}-{each.rpartition('-')[2]}" for each in CONTAINERS},
    }


def project(tree: Tree, name: Name) -> str:
    """Rename everything; what was done, in words. Raises KitError."""
    if len(name.kebab) > LONGEST:
        raise KitError(f"{name.kebab} is too long: {LONGEST} characters at the most")
    new = spellings(name)
    longest_first = sorted(map(re.escape, new), key=len, reverse=True)
    pattern = re.compile(rf"(?<!\w)({'|'.join(longest_first)})(?!\w)")
    for path in project_files(tree):
        try:
            text = tree.read(path)
        except NotText:
            continue
        renamed = pattern.sub(lambda found: new[found[0]], text)
        if renamed == text:
            continue
        if path.endswith(".py"):  # lines have other lengths now
            renamed = black.format_str(renamed, mode=black.Mode())
        tree.write(path, renamed)
    changed = len(tree.changes)
    if not changed:
        raise KitError(f"Nothing has the name {PROJECT}")
    tree.apply()
    return DONE.format(files=changed, kebab=name.kebab, database=new[DATABASE])


def project_files(tree: Tree) -> Iterator[str]:
    """What git would keep; without git, all but what is never part of the project."""
    command = ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"]
    try:
        result = subprocess.run(command, cwd=tree.root, capture_output=True, text=True)
        listed = result.stdout.split("\0") if result.returncode == 0 else []
    except FileNotFoundError:
        listed = []
    paths = [path for path in listed if path] or list(tree.files("."))
    for path in paths:
        if (tree.root / path).is_file() and not SKIPPED & set(path.split("/")):
            yield path
