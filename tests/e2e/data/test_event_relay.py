"""What the API does arrives at RabbitMQ as events, whatever happens to the relay."""

from collections.abc import Iterator
from typing import Any
from uuid import uuid4

import pytest
from kombu import Connection

from chassis.events.event import Event
from chassis.events.topology import EXCHANGE, events_exchange
from local.servers.rabbitmq import RabbitMQ
from local.stack import Stack
from tests.e2e.client import PROCESS_ASYNC, Api, wait_for


@pytest.fixture
def queue(stack: Stack, rabbitmq: RabbitMQ) -> Iterator[Any]:
    """A channel, whose queue takes the events of records."""
    with Connection(rabbitmq.url(stack.env["RABBITMQ_VHOST"])) as connection:
        channel: Any = connection.channel()
        channel.auto_decode = False
        events_exchange(EXCHANGE)(channel).declare()
        name = channel.queue_declare("", exclusive=True)[0]
        channel.queue_bind(name, EXCHANGE, "record.*")
        yield lambda: channel.basic_get(name, no_ack=True)


def test_accepted_work_is_published_although_the_relay_was_killed(
    api: Api, stack: Stack, queue: Any
) -> None:
    (relay,) = stack.relays
    found: list[Event] = []

    def types(subject: str) -> list[str]:
        found.extend(Event.parse(bytes(each.body)) for each in iter(queue, None))
        # At least once: what was on its way at the kill may come again.
        mine = [(each.id, each.type) for each in found if each.subject == subject]
        return list(dict(mine).values())

    def arrived(subject: str) -> bool:
        return types(subject) == ["record.accepted", "record.succeeded"]

    tasks = []
    for is_there in (True, False):
        if not is_there:
            relay.kill()
        request = f"relayed-{uuid4()}"
        body = {"payload": "abc", "description": "reverse"}
        answer = api.http.post(
            PROCESS_ASYNC, json=body, headers={"X-Request-ID": request}
        )
        tasks.append((answer.json()["task_id"], request))
        ended = api.http.get(f"{PROCESS_ASYNC}/{tasks[-1][0]}", params={"wait": 20})
        assert ended.json()["task_status"] == "Success"
        if not is_there:
            assert types(tasks[-1][0]) == []
            relay.start()
        wait_for(lambda: arrived(tasks[-1][0]), "the events")
    for task_id, request in tasks:
        mine = [event for event in found if event.subject == task_id]
        assert {event.correlationid for event in mine} == {request}
        assert mine[-1].data["outcome"]["output"] == "cba"
