"""The types of events, with the data of each. The AsyncAPI document lists them.

A type of your own stands in the module of its table:

    ORDER_CREATED = new_event("order.created", OrderData, "A customer made an order.")
"""

from dataclasses import dataclass
from typing import Any, Generic, TypeVar

from pydantic import BaseModel, ConfigDict, Field

from app.models.schemas import OUTCOME, TASK_ID, Record, example
from chassis.events.event import TYPE

Data = TypeVar("Data", bound=BaseModel)


@dataclass(frozen=True)
class EventType(Generic[Data]):
    """``name`` is the thing and what happened to it; ``text`` says when it happens."""

    name: str
    data: type[Data]
    text: str


EVENT_TYPES: dict[str, EventType[Any]] = {}


def new_event(name: str, data: type[Data], text: str) -> EventType[Data]:
    """Declare a type of events.

    Raises:
        ValueError: the name has another form, or is taken.
    """
    if not TYPE.fullmatch(name) or name in EVENT_TYPES:
        raise ValueError(f"{name!r} is taken, or does not look like order.created")
    EVENT_TYPES[name] = EventType(name, data, text)
    return EVENT_TYPES[name]


def example_of_record(status: str, outcome: Any) -> ConfigDict:
    """A model configuration with an example; later versions may add fields."""
    given = Record.model_config["json_schema_extra"]
    assert isinstance(given, dict) and isinstance(given["examples"], list)
    (record,) = given["examples"]
    assert isinstance(record, dict)
    more = {"priority": "default", "traceparent": None, "correlation_id": "order-1"}
    fields = {**record, "task_status": status, "outcome": outcome, **more}
    return example(**fields) | ConfigDict(extra="allow")


class RecordData(Record):
    """The record as it was after the change. Once the record is deleted, ``payload``
    and ``outcome`` are null in all its events."""

    model_config = example_of_record("Success", OUTCOME)

    priority: str | None = Field(description="Of accepted work.")
    traceparent: str | None = Field(description="The trace of the request.")
    correlation_id: str | None = Field(description="The request's id.")


class AcceptedRecordData(RecordData):
    """The record as it was accepted, without an outcome."""

    model_config = example_of_record("Processing", None)


class FailedRecordData(RecordData):
    """The record with the reason of its failure."""

    model_config = example_of_record(
        "Failure",
        {"status": "failure", "code": "lost", "detail": "The task was lost 6 times."},
    )


class DeletedRecordData(BaseModel):
    """What is left of the record."""

    model_config = example(id=1, task_id=TASK_ID, queue_name="data_queue") | ConfigDict(
        extra="allow"
    )

    id: int
    task_id: str
    queue_name: str | None


ACCEPTED = new_event(
    "record.accepted", AcceptedRecordData, "A request was stored, to be processed."
)
SUCCEEDED = new_event(
    "record.succeeded", RecordData, "A service has processed a request."
)
FAILED = new_event("record.failed", FailedRecordData, "Accepted work has failed.")
DELETED = new_event(
    "record.deleted", DeletedRecordData, "A record was deleted, by a user or by age."
)
