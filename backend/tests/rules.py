"""What the documentation pages need from each endpoint.

If an endpoint breaks a rule, the rule returns a sentence: which endpoint, what is
missing, and how to add it. A rule ignores endpoints that it does not apply to: bodies
that are not JSON, answers without a body, values that are not models.
"""

import re
from collections.abc import Callable, Collection, Iterator
from typing import Any, NamedTuple

from fastapi import FastAPI
from fastapi.routing import RouteContext, iter_route_contexts
from jsonschema import Draft202012Validator

JSON = "application/json"


class Operation(NamedTuple):
    """One endpoint of a schema."""

    schema: dict[str, Any]
    method: str
    path: str
    content: dict[str, Any]

    @property
    def id(self) -> str:
        """The endpoint function's name, unless it sets its own operation id."""
        return str(self.content["operationId"])

    def resolve(self, part: dict[str, Any]) -> dict[str, Any]:
        """The target of a reference."""
        if "$ref" not in part:
            return part
        found: Any = self.schema
        for name in part["$ref"].removeprefix("#/").split("/"):
            found = found[name]
        return dict(found)


def operations(schema: dict[str, Any]) -> Iterator[Operation]:
    """All operations of the schema."""
    for path, methods in schema["paths"].items():
        for method, content in methods.items():
            yield Operation(schema, method, path, content)


def find_faults(schema: dict[str, Any]) -> Iterator[str]:
    """A sentence for each rule that an endpoint breaks."""
    seen: dict[str, str] = {}
    for operation in operations(schema):
        place = f"{operation.method.upper()} {operation.path}"
        if operation.id in seen:
            yield f"{place}: {seen[operation.id]} has the same operation id, " + (
                f"{operation.id}. Give one of the two functions another name."
            )
        seen.setdefault(operation.id, place)
        for rule in RULES:
            for fault in rule(operation):
                yield f"{place}: {fault}"


def find_unguarded(
    schema: dict[str, Any], open_paths: Collection[str], scopes: Collection[str]
) -> Iterator[str]:
    """A sentence for each endpoint that does not say which scope it needs."""
    for operation in operations(schema):
        place = f"{operation.method.upper()} {operation.path}"
        needed = [
            scope
            for each in operation.content.get("security", [])
            for named in each.values()
            for scope in named
        ]
        if not needed and operation.path not in open_paths:
            yield f"{place}: it names no scope, so every token may call it. " + (
                'Write dependencies=[requires("...")] with a scope of '
                "app.api.security, or add the path to OPEN in "
                "app.api.middleware.authentication if it needs no token."
            )
        for scope in needed:
            if scope not in scopes:
                yield f"{place}: nothing describes its scope {scope}. " + (
                    f'Write new_scope("{scope}", "What it allows.") beside the '
                    "endpoint; import new_scope from app.api.security."
                )


def find_shadowed(app: FastAPI) -> Iterator[str]:
    """A sentence for each endpoint whose requests another one answers."""
    earlier: list[RouteContext] = []
    for route in iter_route_contexts(app.routes):
        for other in earlier:
            both = (route.methods or set()) & (other.methods or set())
            path = route.path_format or ""
            if both and (other.path == route.path or other.path_regex.match(path)):
                yield f"{min(both)} {route.path}: {other.name} comes first, and " + (
                    f"{other.path} matches too. Give one of the two another path, or "
                    f"put {route.name} above {other.name} if they are in one module."
                )
        if route.methods:
            earlier.append(route)


def _is_described(operation: Operation) -> Iterator[str]:
    if not operation.content.get("description"):
        yield "it has no description. Give its function a docstring."
    for each in operation.content.get("parameters", []):
        if not operation.resolve(each).get("description"):
            name, kind = each["name"], each["in"].title()
            yield f"its parameter {name} has no description. " + (
                f"Write Annotated[..., {kind}(description=...)]."
            )


def _is_tagged(operation: Operation) -> Iterator[str]:
    known = {tag["name"] for tag in operation.schema.get("tags", [])}
    if not operation.content.get("tags"):
        yield "it has no tag. Write APIRouter(tags=[...])."
    for tag in operation.content.get("tags", []):
        if tag not in known:
            yield f"nothing describes its tag {tag}. " + (
                "Write APIRouter(tags=[...]) in a module of endpoints, or describe it "
                "in TAGS of app.api.openapi."
            )


def _has_examples(operation: Operation) -> Iterator[str]:
    for what, content in _json_bodies(operation):
        schema = operation.resolve(content.get("schema", {}))
        if "example" in content:
            value = content["example"]
        elif "examples" in content:
            value = next(iter(content["examples"].values()))["value"]
        else:
            is_list = schema.get("type") == "array"
            model = operation.resolve(schema.get("items", {})) if is_list else schema
            if model.get("type") != "object" or "properties" not in model:
                continue
            if "examples" not in model:
                yield f"{what} has no example. " + (
                    f"Write model_config = example(...) in {model.get('title')}; "
                    "import example from app.models.schemas."
                )
                continue
            value = model["examples"][0]
            value = [value] if is_list else value
        validator = Draft202012Validator({**operation.schema, **schema})
        for error in validator.iter_errors(value):
            yield f"the example of {what} does not fit its schema: {error.message}."


def _json_bodies(operation: Operation) -> Iterator[tuple[str, dict[str, Any]]]:
    for code, answer in operation.content["responses"].items():
        content = operation.resolve(answer).get("content", {})
        if code.startswith("2") and JSON in content:
            yield f"the answer {code}", content[JSON]
    request = operation.resolve(operation.content.get("requestBody", {}))
    if JSON in request.get("content", {}):
        yield "the body", request["content"][JSON]


def _has_paths_to_try(operation: Operation) -> Iterator[str]:
    for each in operation.content.get("parameters", []):
        schema = each.get("schema", {})
        if each["in"] != "path" or schema.get("enum"):
            continue
        examples = schema.get("examples", [])
        if not examples and "example" not in each and "examples" not in each:
            yield f"its parameter {each['name']} has no example. " + (
                "Write Annotated[..., Path(examples=[...])]."
            )
        for value in examples:
            if not re.search(schema.get("pattern", ""), str(value)):
                yield f"the example {value} of {each['name']} does not fit its pattern."


RULES: tuple[Callable[[Operation], Iterator[str]], ...] = (
    _is_described,
    _is_tagged,
    _has_examples,
    _has_paths_to_try,
)
