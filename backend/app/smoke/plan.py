"""What there is to ask for: the endpoints of this release, read from its own schema.

Nothing here opens a connection or needs a setting.
"""

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from typing import Any

from fastapi import FastAPI
from fastapi.dependencies.models import Dependant
from fastapi.routing import iter_route_contexts

from app import __title__, __version__
from app.api import v1
from app.api.dependencies import service_for
from app.core.services import SERVICES, Service

JSON = "application/json"


@dataclass(frozen=True)
class Example:
    """An endpoint that calls a service, and the example of its documentation."""

    path: str
    body: Any


@dataclass(frozen=True)
class ServicePlan:
    """How to call one service at once and later; None if no endpoint does so."""

    name: str
    is_tried: bool
    at_once: Example | None
    later: Example | None


@dataclass(frozen=True)
class Plan:
    """``lists`` are the endpoints that return a list, with their query; ``paths`` are
    all."""

    services: tuple[ServicePlan, ...]
    lists: tuple[str, ...]
    paths: frozenset[str]


def read_plan(services: Iterable[Service] = SERVICES) -> Plan:
    """The plan for this release."""
    app = FastAPI(title=__title__, version=__version__, openapi_url=None)
    for router in v1.routers:
        app.include_router(router, prefix=v1.PREFIX)
    schema = app.openapi()
    return Plan(
        tuple(_plan_of(app, schema, each) for each in services),
        tuple(_lists(schema)),
        frozenset(schema["paths"]),
    )


def _plan_of(app: FastAPI, schema: dict[str, Any], service: Service) -> ServicePlan:
    found: dict[bool, Example] = {}
    for route in iter_route_contexts(app.routes):
        if "POST" not in (route.methods or ()):
            continue
        if service_for(service.name) not in _calls(route.dependant):
            continue
        operation = schema["paths"][route.path_format]["post"]
        example = Example(str(route.path_format), _example_body(schema, operation))
        found.setdefault("202" in operation["responses"], example)
    return ServicePlan(
        service.name, service.is_tried, found.get(False), found.get(True)
    )


def _calls(dependant: Dependant) -> Iterator[Callable[..., Any] | None]:
    for each in dependant.dependencies:
        yield each.call
        yield from _calls(each)


def _example_body(schema: dict[str, Any], operation: dict[str, Any]) -> Any:
    body = operation.get("requestBody", {}).get("content", {}).get(JSON, {})
    model = body.get("schema", {})
    name = model.get("$ref", "").rpartition("/")[2]
    if name:
        model = schema["components"]["schemas"][name]
    return model.get("examples", [None])[0]


def _lists(schema: dict[str, Any]) -> Iterator[str]:
    for path, methods in schema["paths"].items():
        operation = methods.get("get", {})
        parameters = operation.get("parameters", [])
        answer = operation.get("responses", {}).get("200", {}).get("content", {})
        is_list = answer.get(JSON, {}).get("schema", {}).get("type") == "array"
        if is_list and not any(each.get("required") for each in parameters):
            has_limit = any(each["name"] == "limit" for each in parameters)
            yield f"{path}?limit=1" if has_limit else path
