"""Declared types of events."""

import pytest
from pydantic import BaseModel

from app.models import event_types
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
