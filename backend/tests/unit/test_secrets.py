"""No object shows a secret in its `repr`, which ends in log lines and tracebacks."""

import dataclasses
import re
from collections.abc import Iterator
from importlib import import_module
from pkgutil import walk_packages
from types import ModuleType

import pytest
from pydantic import BaseModel

import app
import chassis
from app.models.webhooks import Webhook

NAME = re.compile(r"(?:^|_)(?:secret|password|token|credential|login)s?(?:$|_)")
# Addresses, names of variables, a moment, a switch.
HARMLESS = {"Endpoints.token", "RabbitMQServer.credentials_from"}
HARMLESS |= {"Webhook.previous_secret_until", "CorsSettings.credentials"}
# They are programs: importing them starts a process's work.
PROGRAMS = ("app.worker", "app.relay", "app.event_log", "app.smoke", "app.tasks")


def modules() -> Iterator[ModuleType]:
    for package in (app, chassis):
        for found in walk_packages(package.__path__, f"{package.__name__}."):
            if not found.name.startswith(PROGRAMS):
                yield import_module(found.name)


def classes() -> set[type]:
    return {
        value
        for module in modules()
        for value in vars(module).values()
        if isinstance(value, type) and value.__module__ == module.__name__
    }


def shown(kind: type) -> Iterator[str]:
    """The fields of secrets that its `repr` has as they are."""
    fields: dict[str, tuple[bool, object]] = {}
    if dataclasses.is_dataclass(kind):
        fields = {f.name: (f.repr, f.type) for f in dataclasses.fields(kind)}
    elif issubclass(kind, BaseModel):
        found = kind.model_fields
        fields = {n: (f.repr, f.annotation) for n, f in found.items()}
    elif issubclass(kind, tuple) and hasattr(kind, "_fields"):
        fields = {name: (True, None) for name in kind._fields}
    for name, (is_shown, annotation) in fields.items():
        if NAME.search(name) and is_shown and "SecretStr" not in str(annotation):
            yield f"{kind.__name__}.{name}"


def test_no_class_shows_its_secrets() -> None:
    found = {name for kind in classes() for name in shown(kind)} - HARMLESS
    assert not found, f"{sorted(found)}: use SecretStr, or repr=False"


@pytest.mark.promise("docs/WEBHOOKS.md", "They have neither its URL nor its secret.")
def test_a_webhook_hides_its_secrets() -> None:
    webhook = Webhook(
        url="https://a.example/hidden",
        host="a.example",
        types=[],
        position=0,
        secret="whsec_1",
        previous_secret="whsec_2",
    )
    assert not re.search("whsec_|hidden", repr(webhook) + str(webhook))
