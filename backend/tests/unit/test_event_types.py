"""Declared types of events."""

from collections.abc import Iterator
from fnmatch import fnmatchcase
from typing import Any

import pytest
from pydantic import BaseModel

from app.models import event_types, webhooks
from app.models.event_types import new_event
from app.models.schemas import CloudEvent
from chassis.events.event import OPTIONAL


class Data(BaseModel):
    """What happened."""


@pytest.fixture(autouse=True)
def own_types(monkeypatch: pytest.MonkeyPatch) -> None:
    known = dict(event_types.EVENT_TYPES)
    monkeypatch.setattr(event_types, "EVENT_TYPES", known)


@pytest.mark.parametrize("name", ["order.created", "order.item_2.sold"])
def test_a_declared_type_is_known(name: str) -> None:
    declared = new_event(name, Data, "It happened.")
    assert event_types.EVENT_TYPES[name] is declared


@pytest.mark.parametrize(
    "name",
    [
        *("order", "order.", ".created", "order..created", "order.created."),
        *("Order.created", "order.created ", "order.created\n", "order.*", ""),
        "record.accepted",  # it is taken
    ],
)
def test_other_names_are_refused(name: str) -> None:
    """Patterns would not match them, or would match others."""
    with pytest.raises(ValueError, match="is taken"):
        new_event(name, Data, "It happened.")


def test_the_schema_requires_only_what_each_event_has() -> None:
    fields = CloudEvent.model_fields.items()
    assert {name for name, field in fields if not field.is_required()} == {*OPTIONAL}


def examples() -> Iterator[tuple[str, dict[str, Any]]]:
    """Those of the models that clients see, with the names of the models."""
    for model in (CloudEvent, *vars(webhooks).values()):
        if isinstance(model, type) and issubclass(model, BaseModel):
            schema: Any = model.model_config.get("json_schema_extra") or {}
            for each in schema.get("examples", []):
                yield model.__name__, each


def test_examples_name_types_of_events_that_there_are() -> None:
    """Clients copy them: a filter with another name would never see an event."""
    named = {
        (model, wanted)
        for model, each in examples()
        for wanted in [*each.get("types", []), *filter(None, [each.get("type")])]
    }
    assert {"CloudEvent", "WebhookCreate"} <= {model for model, _ in named}
    for model, wanted in named:
        found = [each for each in event_types.EVENT_TYPES if fnmatchcase(each, wanted)]
        assert found, f"{model}: {wanted}"
