"""The project's current names, and where they are written.

`make rename` changes this file too, so a project can be renamed again.
"""

from collections.abc import Iterator
from zlib import crc32

from kit.formats import yaml_lines
from kit.names import Name
from kit.service import REGISTRY, TEMPLATES, registered
from kit.tree import Tree

TITLE = "FastAPI microservices starter"
PACKAGE = "fastapi-microservices-starter"
PROJECT = "fastapi-starter"
DATABASE = "fastapi_db"
# The database user, and its password in development.
ROLE = "fastapi"
# The network of the gateway's containers: two projects must not share it.
NETWORK = "172.30.81"

# In code: the queue of a service that names none.
QUEUE = "{service}_queue"

# In Kubernetes, in the capacity model.
WORKLOAD = "{service}-service"

COMPOSE = "docker-compose.yml"
SEVERAL = "docker-compose.ha.yml"
# Before names in this file: what one clone may set to differ from another.
CLONE = "${CONTAINER_PREFIX:-}"

# A name of one word may mean something else elsewhere: only here is it the project's.
# ROLE is such a word from the start, because the library has the same name.
ROLE_PLACES = (
    *("//{}:{}@", "//{}:", ":{}@", "-U {}", "-U, {}", "POSTGRES_USER: {}"),
    *("value: {}", "POSTGRES_PASSWORD={}", "POSTGRES_PASSWORD:-{}}}"),
    *("`POSTGRES_PASSWORD` | `{}`", 'PGPASSWORD": "{}"', 'USER = PASSWORD = "{}"'),
    *('ROLE = "{}"', "CREATE ROLE {} ", "OWNER {};"),
    *("owner: {}", "name: {}, ensure: present", 'password={}"', "user={} dbname"),
)
PROJECT_PLACES = (
    *("{}/stage", "{}\\/stage", "{}/role", "{}-backend", "{}-chassis", "{}-test"),
    *("namespace: {}", "namespace={}", "namespace/{}", "namespace {}", "default {}"),
    *('namespace"] == "{}"', 'NAMESPACE = "{}"', "part-of: {}", "part-of={}", "-n {}"),
    *('part-of"] == "{}"', 'removeprefix("{}-")', "COMPOSE_PROJECT_NAME={}"),
    *("`COMPOSE_PROJECT_NAME` | `{}`", 'PROJECT = "{}"'),
    *('SOURCE = "/{}"', "EVENTS_SOURCE=/{}", "`EVENTS_SOURCE` | `/{}`"),
    *('"source": "/{}"', 'source="/{}"', "scope: {}", ".{}.svc"),
    *("{}/backup", "{}/database", 'namespace": "{}"', 'part-of": "{}"'),
    *("role {}-", "clusterrole {}-", "name: {}-check", "name: {}-cluster"),
    *("name: {}-remove", "name: {}-setup"),
)
PACKAGE_PLACES = ('name = "{}"', '"name": "{}"', "{} (pyproject.toml", 'PACKAGE = "{}"')
TITLE_PLACES = ("# {}\n", '"title": "{}"', '__title__ = "{}"', 'TITLE = "{}"')


def is_renamed() -> bool:
    """Whether this project has a name other than the kit's."""
    return PACKAGE == PROJECT


def spellings(tree: Tree, name: Name) -> dict[str, str]:
    """Each text that names the project, with its replacement."""
    new = {
        **_places(TITLE, name.title, TITLE_PLACES),
        **_places(PACKAGE, name.kebab, PACKAGE_PLACES),
        **_places(PROJECT, name.kebab, PROJECT_PLACES),
        DATABASE: f"{name.snake}_db",
        **_at(ROLE, name.snake, ROLE_PLACES),
        NETWORK: f"172.30.{crc32(name.kebab.encode()) % 254 + 1}",
    }
    for queue in _queues(tree):
        renamed = f"{name.snake}_{queue.removeprefix(_prefix('_'))}"
        new |= {queue: renamed, f"{queue}_dlq": f"{renamed}_dlq"}
    built = [each[key] for each in _built(tree) for key in ("image", "container_name")]
    for each in [*built, WORKLOAD]:
        base = each.removeprefix(_prefix("-"))
        if not is_renamed():
            base = base.removeprefix("fastapi-")
        new[each] = f"{name.kebab}-{base}"
    return new


def rename_containers_of_others(tree: Tree, name: Name) -> None:
    """Rename words such as `redis`, which mean something else elsewhere."""
    built = {each["container_name"] for each in _built(tree)}
    for file in (COMPOSE, SEVERAL):
        if not tree.exists(file):
            continue
        text = tree.read(file)
        names: dict[yaml_lines.Place, str] = {}
        for key, service in yaml_lines.load(text)["services"].items():
            old = service.get("container_name", "").removeprefix(CLONE)
            if old and old not in built:
                base = old.removeprefix(_prefix("-"))
                place = ("services", key, "container_name")
                names[place] = f"{CLONE}{name.kebab}-{base}"
        tree.write(file, yaml_lines.set_values(text, names))


def _places(old: str, new: str, places: tuple[str, ...]) -> dict[str, str]:
    if set(old) & set(" -"):
        return {old: new}
    return _at(old, new, places)


def _at(old: str, new: str, places: tuple[str, ...]) -> dict[str, str]:
    return {each.format(old, old): each.format(new, new) for each in places}


def _prefix(joint: str) -> str:
    return PROJECT.replace("-", joint) + joint


def _queues(tree: Tree) -> Iterator[str]:
    """The queues of all services, and of templates."""
    yield QUEUE
    for registry in (REGISTRY, f"{TEMPLATES}/{REGISTRY}"):
        yield from registered(tree, registry).values()


def images(tree: Tree) -> Iterator[str]:
    """The images built here, from services and from templates."""
    yield from (service["image"] for service in _built(tree))


def _built(tree: Tree) -> Iterator[dict[str, str]]:
    """Images that are built here have no tag."""
    for path in (COMPOSE, f"{TEMPLATES}/{COMPOSE}"):
        if tree.exists(path):
            for service in yaml_lines.load(tree.read(path))["services"].values():
                if service.get("image", "").startswith(CLONE):
                    named = ("image", "container_name")
                    yield {key: service[key].removeprefix(CLONE) for key in named}
