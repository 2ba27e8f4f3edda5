"""A new microservice: what `make new-service` adds."""

import ast
import re
from collections.abc import Collection

from kit.edits import Edit
from kit.formats import python_tuples
from kit.names import Name, from_specimen
from kit.rendering import check_address, check_names, render
from kit.tree import KitError, Tree

TEMPLATES = "kit/templates/service"
# What the service depends on.
CHASSIS = '"fastapi-starter-chassis"'
WITH_EVENTS = '"fastapi-starter-chassis[events]"'
REGISTRY = "backend/app/core/services.py"


def edits(tree: Tree, name: Name, options: Collection[str] = ()) -> list[Edit]:
    """The edits that make the service. Raises KitError."""
    words = {CHASSIS: WITH_EVENTS} if "events" in options else {}
    return render(tree, TEMPLATES, from_specimen(name, words), options)


def options_of(tree: Tree, name: Name) -> list[str]:
    """The options with which the service was made."""
    project = f"services/{name.snake}/pyproject.toml"
    has_events = tree.exists(project) and WITH_EVENTS in tree.read(project)
    return ["events"] if has_events else []


def check(tree: Tree, name: Name, made: list[Edit]) -> None:
    """Raise KitError if the name is taken."""
    if name.parts[-1] == "service":
        raise KitError("Leave out `service`: the kit adds it where it belongs")
    if (tree.root / "services" / name.snake).exists():
        raise KitError(f"The name is taken: services/{name.snake} already exists")
    check_address(tree, name.kebab)
    check_names(tree, made)


def registered(tree: Tree, registry: str = REGISTRY) -> dict[str, str]:
    """Each service's name with its queue, from the backend's registry."""
    found = {}
    for entry in python_tuples.entries(tree.read(registry)):
        call = ast.parse(entry.text, mode="eval").body
        assert isinstance(call, ast.Call)
        name, queue = (ast.literal_eval(argument) for argument in call.args)
        found[name] = queue
    return found


def told_callers(tree: Tree, name: str, queue: str) -> str:
    """A line for each file that still asks a service that goes; none is changed."""
    call = rf'(service_for|call_service)\(\s*"({name}|{queue})"'
    # A service may name the queue elsewhere; the backend does so in examples, too.
    places = {"backend/app": call, "services": f'{call}|"{queue}"'}
    return "".join(
        f"\n{path} still asks {name}: take that out, or its calls fail."
        for place, asked in places.items()
        for path in tree.files(place)
        if path.endswith(".py") and tree.exists(path)
        if re.search(asked, tree.read(path))
    )


def folder(tree: Tree, name: str) -> str:
    """The folder of a service in the registry."""
    short = f"services/{name}"
    return short if tree.exists(f"{short}/main.py") else f"{short}service"
