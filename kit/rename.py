"""The project's own name: what `make rename` changes.

The names below are renamed too, and others are read where they stand, so a project can
be renamed again.
"""

import re
import subprocess
from collections.abc import Iterator
from zlib import crc32

from kit.formats import yaml_lines
from kit.names import Name
from kit.python import formatted
from kit.service import REGISTRY, TEMPLATES, registered
from kit.tree import SKIPPED, KitError, NotText, Tree

TITLE = "FastAPI microservices starter"
PACKAGE = "fastapi-microservices-starter"
PROJECT = "fastapi-starter"
DATABASE = "fastapi_db"
# Of the gateway's containers: two projects must not have the same.
SUBNET = "172.30.81.0/24"

# In code: the queue of a service that names none.
QUEUE = "{service}_queue"

COMPOSE = "docker-compose.yml"

# Containers, objects of Kubernetes and lines of code have the name and more in them.
LONGEST = 20

DONE = """{files} files say {kebab} now: queues, images, containers, namespaces of
Kubernetes and telemetry, titles, the database {database}. `make test` tries it.

Not changed: .env, and the data of a stack that ran already. Look for old names in .env;
`make clean` removes the local stack's data. Pictures show the old title. Containers of
two projects on one machine need ports of their own: the ..._PORT of .env.example."""


def spellings(tree: Tree, name: Name) -> dict[str, str]:
    """Each name of the project, and the one that takes its place."""
    new = {
        TITLE: name.title,
        PACKAGE: name.kebab,
        PROJECT: name.kebab,
        DATABASE: f"{name.snake}_db",
        SUBNET: f"172.30.{crc32(name.kebab.encode()) % 254 + 1}.0/24",
    }
    for each in _queues(tree):
        queue = f"{name.snake}_{each.removeprefix(_prefix('_'))}"
        new |= {each: queue, f"{each}_dlq": f"{queue}_dlq"}
    for each in _images_and_containers(tree):
        base = each.removeprefix(_prefix("-")).removeprefix("fastapi-")
        new[each] = f"{name.kebab}-{base}"
    return new


def project(tree: Tree, name: Name) -> str:
    """Rename everything; what was done, in words. Raises KitError."""
    if len(name.kebab) > LONGEST:
        raise KitError(f"{name.kebab} is too long: {LONGEST} characters at the most")
    new = spellings(tree, name)
    longest_first = sorted(map(re.escape, new), key=len, reverse=True)
    # Not in the middle of a word, or of one with hyphens such as a heading's address.
    pattern = re.compile(rf"(?<!\w)(?<!\w-)({'|'.join(longest_first)})(?!\w)")
    _rename_containers_of_others(tree, name)
    for path in project_files(tree):
        try:
            text = tree.read(path)
        except NotText:
            continue
        renamed = pattern.sub(lambda found: new[found[0]], text)
        if renamed != text:  # lines have other lengths now
            tree.write(path, formatted(tree.root, path, renamed))
    changed = len(tree.changes)
    if not changed:
        raise KitError(f"Nothing has the name {PROJECT}")
    tree.apply()
    return DONE.format(files=changed, kebab=name.kebab, database=new[DATABASE])


def _prefix(joint: str) -> str:
    return PROJECT.replace("-", joint) + joint


def _queues(tree: Tree) -> Iterator[str]:
    """Those of all services, and of those to come."""
    yield QUEUE
    for registry in (REGISTRY, f"{TEMPLATES}/{REGISTRY}"):
        yield from registered(tree, registry).values()


def _images_and_containers(tree: Tree) -> Iterator[str]:
    """Of what is built here, now and from templates: images without a tag."""
    for path in (COMPOSE, f"{TEMPLATES}/{COMPOSE}"):
        if tree.exists(path):
            for service in yaml_lines.load(tree.read(path))["services"].values():
                if ":" not in service.get("image", ":"):
                    yield from (service["image"], service["container_name"])


def _rename_containers_of_others(tree: Tree, name: Name) -> None:
    """Such as `redis`: words that mean something else elsewhere."""
    if not tree.exists(COMPOSE):
        return
    text = tree.read(COMPOSE)
    for key, service in yaml_lines.load(text)["services"].items():
        if ":" in service.get("image", "") and "container_name" in service:
            base = service["container_name"].removeprefix(_prefix("-"))
            place = ("services", key, "container_name")
            text = yaml_lines.set_value(text, place, f"{name.kebab}-{base}")
    tree.write(COMPOSE, text)


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
