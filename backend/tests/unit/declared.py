"""The settings as their classes declare them: ours, and those of services."""

import inspect
import json
import sys
from collections.abc import Iterator
from functools import cache
from importlib.util import module_from_spec, spec_from_file_location
from pathlib import Path
from typing import Any, NamedTuple

from pydantic import SecretStr
from pydantic.fields import FieldInfo

from app.core.config import QueueNames, Settings
from chassis.environment import Group
from chassis.settings import ServiceSettings

ROOT = Path(__file__).parents[3]
BOUNDS = {"minimum": "≥", "exclusiveMinimum": ">", "maximum": "≤"}


class Variable(NamedTuple):
    """One setting."""

    name: str
    default: str | None  # as in .env.example; None if unset
    values: str
    meaning: str
    place: str  # where it is declared
    is_secret: bool
    is_required: bool


class Section(NamedTuple):
    """A group of variables; ``service`` is the folder of the only service that has
    them."""

    title: str
    variables: list[Variable]
    service: Path | None = None


def backend_sections() -> list[Section]:
    """The sections of API and worker. One QUEUE_NAME represents those of all
    services."""
    return list(_sections(Settings, skipped=(QueueNames,)))


def service_section() -> Section:
    """The section that every service reads in addition."""
    shared = names(backend_sections())
    first, *others = _sections(ServiceSettings)
    every = [*first.variables, *(each for s in others for each in s.variables)]
    own = [each for each in every if each.name not in shared]
    return first._replace(variables=own)


def own_sections() -> list[Section]:
    """The sections of single services, from the classes in their
    `app/*_settings.py`."""
    found = []
    everybody = names([*backend_sections(), service_section()])
    for file in sorted(ROOT.glob("services/*/app/*_settings.py")):
        spec = spec_from_file_location(f"own_{file.stem}", file)
        assert spec and spec.loader
        module = module_from_spec(spec)
        sys.modules[spec.name] = module
        spec.loader.exec_module(module)
        for kind in vars(module).values():
            if inspect.isclass(kind) and issubclass(kind, ServiceSettings):
                variables = [
                    each
                    for section in _sections(kind)
                    for each in section.variables
                    if each.name not in everybody
                ]
                if variables:
                    service = file.parents[1]
                    title = f"The service {service.name}"
                    found.append(Section(title, variables, service))
    return found


def names(sections: list[Section]) -> set[str]:
    """The names of the sections' variables."""
    return {each.name for section in sections for each in section.variables}


def _sections(
    group: type[Group], skipped: tuple[type[Group], ...] = ()
) -> Iterator[Section]:
    """A group and its nested groups; the docstring's first sentence is the title."""
    title = (group.__doc__ or group.__name__).strip().partition(".")[0]
    nested = [kind for kind in group.groups() if kind not in skipped]
    kinds = [*group.groups()]
    own = [
        _variable(group, name, field)
        for name, field in group.model_fields.items()
        if field.annotation not in kinds
    ]
    yield Section(title, own)
    for kind in nested:
        yield from _sections(kind)


def _variable(group: type[Group], name: str, field: FieldInfo) -> Variable:
    owner = next(c for c in reversed(group.__mro__) if name in _annotations(c))
    file = Path(inspect.getfile(owner)).resolve().relative_to(ROOT)
    return Variable(
        group.variable(name),
        None if field.is_required() else _text(field.default),
        _values(_schema(group)[name]),
        field.description or "",
        f"{file} ({owner.__name__})",
        name in group.secrets(),
        field.is_required(),
    )


@cache
def _schema(group: type[Group]) -> dict[str, Any]:
    properties: dict[str, Any] = group.model_json_schema()["properties"]
    return properties


def _annotations(kind: type) -> dict[str, Any]:
    return inspect.get_annotations(kind)


def _text(default: Any) -> str | None:
    if isinstance(default, SecretStr):
        return default.get_secret_value()
    if default is None or isinstance(default, str):
        return default
    return f"{default:g}" if isinstance(default, float) else json.dumps(default)


def _values(field: dict[str, Any]) -> str:
    if "anyOf" in field:
        field = field["anyOf"][0]
    if "enum" in field:
        return ", ".join(f"`{value}`" for value in field["enum"])
    if field.get("writeOnly"):
        return "text, secret"
    known = {"string": "text", "array": "JSON list", "boolean": "`true`, `false`"}
    bounds = [f"{s} {json.dumps(field[b])}" for b, s in BOUNDS.items() if b in field]
    kind = known.get(field.get("type", ""), field.get("type", "text"))
    return " ".join([kind, ", ".join(bounds)]).strip()
