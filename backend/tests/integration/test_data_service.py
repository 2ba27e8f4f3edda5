"""Payloads of every kind: what reaches the service, the record and the task."""

import json
from collections.abc import AsyncIterator
from dataclasses import dataclass
from datetime import UTC, datetime
from decimal import Decimal
from enum import Enum
from typing import Any
from uuid import UUID

import pytest
from pydantic import BaseModel, SecretStr, create_model

from app.api.dependencies import Resources
from app.core.budget import Budget
from app.core.database_settings import DatabaseSettings
from app.core.exceptions import Refused
from app.core.redis_settings import CelerySettings
from app.models.schemas import AsyncDataRequest
from app.repositories.data_repository import DataRepository
from app.resources import open_resources
from chassis.settings import RabbitMQSettings
from local.servers.redis import Redis
from tests.echo import EchoSettings
from tests.integration.responder import Responder, wait_until


class Colour(Enum):
    RED = "red"


@dataclass
class Point:
    x: Decimal


class Item(BaseModel):
    colour: Colour
    id: UUID
    point: Point


class Order(BaseModel):
    at: datetime
    items: list[Item]


TIME = datetime(2026, 1, 1, tzinfo=UTC)
ITEM = Item(colour=Colour.RED, id=UUID(int=7), point=Point(Decimal("1.10")))
PLAIN_ITEM = {"colour": "red", "id": str(UUID(int=7)), "point": {"x": "1.10"}}

PAYLOADS: list[tuple[Any, Any, Any]] = [
    (Any, {"a": [1, 2.5, None, 10**300]}, {"a": [1, 2.5, None, 10**300]}),
    (
        Order,
        Order(at=TIME, items=[ITEM]),
        {"at": "2026-01-01T00:00:00Z", "items": [PLAIN_ITEM]},
    ),
    (list[Item], [ITEM], [PLAIN_ITEM]),
    (dict[UUID, Decimal], {UUID(int=7): Decimal("0.1")}, {str(UUID(int=7)): "0.1"}),
    (Point, Point(Decimal("2")), {"x": "2"}),
    (datetime, TIME, "2026-01-01T00:00:00Z"),
    (Colour, Colour.RED, "red"),
    (Any, ITEM, PLAIN_ITEM),
]


@pytest.fixture
async def resources(
    rabbitmq_settings: RabbitMQSettings,
    database_settings: DatabaseSettings,
    redis_server: Redis,
    responder: Responder,
) -> AsyncIterator[Resources]:
    redis_server.connect().flushall()
    url = SecretStr(redis_server.url(0))
    settings = EchoSettings(
        echo_queue=responder.queue,
        rabbitmq=rabbitmq_settings,
        database=database_settings,
        celery=CelerySettings(broker_url=url, result_backend=url),
    )
    async with open_resources(settings, Budget(2**20)) as resources:
        client = resources.producer.client
        wait_until(lambda: client.connected)
        yield resources


def request(kind: Any, payload: Any) -> AsyncDataRequest:
    model = create_model("Request", __base__=AsyncDataRequest, payload=(kind, ...))
    return model(payload=payload)


async def stored(resources: Resources, task_id: str) -> Any:
    async with resources.database.session() as session:
        record = await DataRepository(session).get_by_task_id(task_id)
    assert record is not None
    return record.payload


async def test_synchronous_work(resources: Resources, responder: Responder) -> None:
    service = resources.data_services["echo"]
    for kind, payload, plain in PAYLOADS:
        task_id, outcome = await service.process(request(kind, payload))
        assert outcome == {"payload": plain, "description": None}
        assert await stored(resources, task_id) == plain
    assert [body["payload"] for body in responder.bodies()] == [p[2] for p in PAYLOADS]


@pytest.mark.promise(
    "docs/TASKS.md", "Logs and Celery's events never contain arguments or results."
)
async def test_accepted_work(resources: Resources, redis_server: Redis) -> None:
    service = resources.data_services["echo"]
    for kind, payload, plain in PAYLOADS:
        task_id = (await service.accept(request(kind, payload))).task_id
        assert await stored(resources, task_id) == plain
    with redis_server.connect() as redis:
        tasks = [json.loads(text) for text in redis.lrange("default", 0, -1)]
    assert len(tasks) == len(PAYLOADS)
    for task in tasks:  # Celery copies these into logs and events
        assert task["headers"]["argsrepr"] == "()"
        assert task["headers"]["kwargsrepr"] == "{}"


@pytest.mark.parametrize("number", ["nan", "inf", "-Infinity"])
async def test_numbers_that_are_not_finite_are_refused(
    resources: Resources, number: str
) -> None:
    """Pydantic accepts these texts as numbers."""
    service = resources.data_services["echo"]
    nested = create_model("Nested", value=(float, ...))
    for kind, payload in ((float, number), (nested, {"value": number})):
        for work in (service.process, service.accept):
            with pytest.raises(Refused, match="JSON"):
                await work(request(kind, payload))
