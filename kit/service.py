"""A new microservice: what `make new-service` adds.

The data service is its template: the folder is copied and renamed, but for what is
particular to data (`kit/templates/service` has a beginning instead); its endpoint and
its lines in other files are those of data, renamed.
"""

import re
from collections.abc import Iterator

from kit.edits import Create, Edit, Part, Twin, Word
from kit.names import Name, Rename, from_data_service, from_specimen
from kit.python import cut, definitions, formatted
from kit.tree import KitError, Tree

SOURCE = "services/dataservice"
ENDPOINTS = "backend/app/api/v1/endpoints"
TEMPLATES = "kit/templates/service"
CONFIGURATION = "docs/CONFIGURATION.md"  # written by `make docs`
WORKFLOW = ".github/workflows/ci.yml"

# Of the template's tests: those of the process. What is copied beyond is tested there.
TESTS = ("conftest.py", "__init__.py", "unit/__init__.py", "unit/test_main.py")

# Where data's queue is, and its service, in files that are not the service's own.
QUEUE = Part(
    first='      "name": "data_queue_dlq"',
    last='      "name": "data_queue"',
    begin="    {\n",
    end="\n    }",
)
PLACES = [
    (".env.example", Part("# Queue of the data service", "DATA_QUEUE_NAME=")),
    ("backend/backend-config.env", Part("DATA_QUEUE_NAME=")),
    ("rabbitmq/definitions.json", QUEUE),
    ("deploy/base/kustomization.yaml", Part("  - ../../services/dataservice")),
    (
        "deploy/components/keda/kustomization.yaml",
        Part("  - dataservice-scaledobject.yaml"),
    ),
    ("deploy/components/cpu/kustomization.yaml", Part("  - dataservice-hpa.yaml")),
    (
        "deploy/components/production/kustomization.yaml",
        Part("  - {name: data-service, newTag"),
    ),
    (
        "deploy/components/production/kustomization.yaml",
        Part("  - name: data-service-config"),
    ),
    (
        "deploy/overlays/development/kustomization.yaml",
        Part("  - {name: data-service, newTag"),
    ),
    (
        "deploy/overlays/development/kustomization.yaml",
        Part("  - {name: data-service, count"),
    ),
    (CONFIGURATION, Part("| `DATA_QUEUE_NAME`")),
    ("README.md", Part("| [Data service](services/dataservice/README.md)")),
]
COMPOSE = [
    ("docker-compose.yml", Part("  DATA_QUEUE_NAME:")),
    ("docker-compose.yml", Part("      data-service: {condition")),
    ("docker-compose.yml", Part("  data-service:")),
    ("docker-compose.dev.yml", Part("  data-service:")),
    ("docker-compose.scale.yml", Part("  data-service:")),
]
# Files of their own, one for each service.
COPIES = [
    "deploy/components/keda/dataservice-scaledobject.yaml",
    "deploy/components/cpu/dataservice-hpa.yaml",
]


def edits(tree: Tree, name: Name) -> list[Edit]:
    """Everything that makes the service. Raises KitError when a place is missing."""
    rename = from_data_service(name)
    made: list[Edit] = [*_folder(tree, name), *_backend(tree, name)]
    made += [Create(rename(path), rename(tree.read(path)), path) for path in COPIES]
    for path, part in PLACES:
        own = _untyped(rename) if path == CONFIGURATION else rename
        made.append(Twin(path, part, own, comma=path.endswith(".json")))
    made += [Twin(path, part, rename, optional=True) for path, part in COMPOSE]
    return [*made, Word(WORKFLOW, "data-service", rename)]


def _untyped(rename: Rename) -> Rename:
    """As `make docs` writes it: the settings have a type for data's queue only."""
    return lambda text: rename(text).replace("| text |", "|  |")


def check(tree: Tree, name: Name) -> None:
    """Raises KitError if something else has the name already."""
    if name.parts[-1] == "service":
        raise KitError("Leave out `service`: the kit adds it where it belongs")
    check_address(tree, name.kebab, f"{ENDPOINTS}/{name.snake}.py")
    if (tree.root / "services" / name.snake).exists():
        raise KitError(f"The name is taken: services/{name.snake} is there already")


def check_address(tree: Tree, address: str, own: str) -> None:
    """Raises KitError if another endpoint than `own` has the address."""
    for path in tree.files(ENDPOINTS):
        if path != own and f'prefix="/{address}"' in tree.read(path):
            raise KitError(f"The name is taken: {path} serves /api/v1/{address}")


def check_functions(tree: Tree, path: str, text: str) -> None:
    """Their names are the operations' in the schema, so each is there once."""
    for other in tree.files(ENDPOINTS):
        if other == path or not other.endswith(".py"):
            continue
        if both := definitions(text) & definitions(tree.read(other)):
            raise KitError(f"The name is taken: {other} has {sorted(both)[0]}()")


def _folder(tree: Tree, name: Name) -> Iterator[Create]:
    rename = from_data_service(name)
    own = f"services/{name.snake}"
    for path in tree.files(SOURCE):
        inner = path.removeprefix(f"{SOURCE}/")
        test = inner.removeprefix("tests/")
        if inner == "app/data_service.py" or test != inner and test not in TESTS:
            continue
        text = tree.read(path)
        if inner == "README.md":
            text = _without(path, text, "## What it does", "## Your own service")
        yield _python(tree, f"{own}/{rename(inner)}", rename(text), like=path)
    module = f"{name.snake}_service.py"
    yield from_template(tree, f"{TEMPLATES}/app.py", f"{own}/app/{module}", name)
    test = f"{own}/tests/unit/test_{module}"
    yield from_template(tree, f"{TEMPLATES}/test_app.py", test, name)


def _backend(tree: Tree, name: Name) -> Iterator[Create]:
    path = f"{ENDPOINTS}/{name.snake}.py"
    text = formatted(tree.root, path, _endpoint(tree, name))
    check_functions(tree, path, text)
    yield Create(path, text)
    for template, target in (
        ("models.py", f"backend/app/models/{name.snake}.py"),
        ("test_api.py", f"backend/tests/unit/test_{name.snake}.py"),
        ("test_e2e.py", f"tests/e2e/test_{name.snake}.py"),
    ):
        yield from_template(tree, f"{TEMPLATES}/{template}", target, name)


def from_template(tree: Tree, template: str, path: str, name: Name) -> Create:
    """A file made of a template."""
    return _python(tree, path, from_specimen(name)(tree.read(template)))


def _python(tree: Tree, path: str, text: str, like: str | None = None) -> Create:
    if path.endswith(".py"):
        text = formatted(tree.root, path, text)
    return Create(path, text, like)


def _endpoint(tree: Tree, name: Name) -> str:
    """The endpoint of data that waits for the outcome, on the service's own queue."""
    source = f"{ENDPOINTS}/data.py"
    imports, code = cut(source, tree.read(source), ["router", "process_data"])
    for old, new in (
        ('prefix="/data"', f'prefix="/{name.kebab}"'),
        ('tags=["data"]', f'tags=["{name.kebab}"]'),
        ("process_data", f"process_{name.snake}"),
        ("DataServiceDep", f"{name.pascal}ServiceDep"),
        ("DataRequest", f"{name.pascal}Request"),
        ("TaskResult", f"{name.pascal}Result"),
        ("the data service", "the service"),
        ("outcome=outcome", f"outcome={name.pascal}Outcome.model_validate(outcome)"),
    ):
        if old not in code:
            raise KitError(f"{source}: {old!r} is missing in process_data or router")
        code = code.replace(old, new)
    imports = re.sub(r"\bDataServiceDep\b", "service_for", imports)
    imports = re.sub(r"\b(DataRequest|TaskResult)(, )?", "", imports)
    imports = imports.replace(", \n", "\n")
    kinds = ("Outcome", "Request", "Result")
    models = ", ".join(f"{name.pascal}{kind}" for kind in kinds)
    head, router, rest = code.partition("router = ")
    first, _, function = rest.partition("\n\n\n")
    alias = (
        f"{name.pascal}ServiceDep = Annotated[\n"
        f'    DataService, Depends(service_for("{name.snake}"))\n]'
    )
    return "\n".join(
        [
            f'"""Asking the {name.words} service."""\n',
            "from typing import Annotated\n",
            "from fastapi import Depends",
            imports,
            f"from app.models.{name.snake} import {models}",
            "from app.services.data_service import DataService\n",
            f"{head}{router}{first}\n\n{alias}\n\n\n{function}\n",
        ]
    )


def _without(path: str, text: str, *headings: str) -> str:
    """A document without some of its sections."""
    for heading in headings:
        start = text.find(f"\n{heading}\n")
        if start < 0:
            raise KitError(f"{path} has no section {heading!r}")
        end = text.find("\n## ", start + 1)
        text = text[: start + 1] + (text[end + 1 :] if end >= 0 else "")
    return text
