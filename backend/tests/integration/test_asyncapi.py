"""The AsyncAPI document describes the events that PostgreSQL really writes."""

import json
from typing import Any
from uuid import uuid4

import pytest
from jsonschema import Draft202012Validator, FormatChecker

from app.api.asyncapi import asyncapi_document
from app.core.config import Settings
from app.core.database import Database
from app.infrastructure.postgres.group_commit import GroupCommit
from app.models.event_types import EVENT_TYPES
from app.models.schemas import TaskStatus
from app.repositories.data_repository import DataRepository, end_record, failure
from app.repositories.event_repository import EventFilter, read_events
from app.tasks.resources import get_worker_resources


def validator(document: dict[str, Any], name: str) -> Draft202012Validator:
    reference = {"$ref": f"#/components/messages/{name}/payload"}
    return Draft202012Validator(document | reference, format_checker=FormatChecker())


@pytest.fixture(scope="module")
def document() -> dict[str, Any]:
    return asyncapi_document(Settings(), "1.2.3")


def test_every_type_has_a_channel_and_a_valid_example(document: dict[str, Any]) -> None:
    for name in EVENT_TYPES:
        message = document["components"]["messages"][name]
        assert message["summary"] and document["channels"][name]["address"] == name
        assert name in document["channels"]["websocket"]["messages"]
        (example,) = message["examples"]
        validator(document, name).validate(example["payload"])


@pytest.mark.usefixtures("worker")
async def test_the_events_are_as_described(
    database: Database, commits: GroupCommit, document: dict[str, Any]
) -> None:
    ids = [str(uuid4()) for _ in range(3)]
    kinds = (TaskStatus.PROCESSING, TaskStatus.PROCESSING, TaskStatus.SUCCESS)
    await commits.add(
        [
            DataRepository.row(task_id=one, task_status=kind, payload=[1, None])
            for one, kind in zip(ids, kinds, strict=True)
        ]
    )
    end_record(get_worker_resources().autocommit, ids[0], failure("lost", "It is."))
    async with database.session() as session:
        await DataRepository(session).delete(ids[2])
        await session.commit()
        found = [
            event
            for one in ids
            for event in await read_events(session, 0, 10, EventFilter(subject=one))
        ]
    # A team's own types are those of its resources.
    own = {name for name in EVENT_TYPES if name.startswith("record.")}
    assert {event.type for event in found} == own
    for event in found:
        sent = json.loads(event.to_json("/here"))
        validator(document, event.type).validate(sent)
        with pytest.raises(Exception, match="'x' was expected|is not of type|const"):
            validator(document, event.type).validate(sent | {"type": "x", "data": 1})
