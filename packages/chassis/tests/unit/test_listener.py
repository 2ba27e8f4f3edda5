"""The queue of a process that listens, without a broker."""

import time
from typing import Any

import pytest

from chassis.events import listener as module
from chassis.events.event import event_json
from chassis.events.listener import EventListener
from chassis.rpc.connection import Delivery
from chassis.settings import RabbitMQSettings, RpcSettings
from tests.unit.broker import WAIT, FakeConnection


def test_its_queue_is_bounded_and_goes_with_the_connection(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """A process that hangs must not fill the broker, nor one that died."""
    connections = [FakeConnection() for _ in range(3)]
    following: Any = iter(connections)
    monkeypatch.setattr(module, "connections", lambda *_: following)
    monkeypatch.setattr(module, "new_connection", lambda *_: connections[0])
    listener = EventListener(
        RabbitMQSettings(), RpcSettings(), "facts", lambda event: None
    )
    listener.start()
    connections[0].lose()
    until = time.monotonic() + WAIT
    while not connections[1].bound and time.monotonic() < until:
        time.sleep(0.001)
    listener.stop()
    listener.join()
    names = set()
    for connection in connections[:2]:
        (queue,) = connection.declared
        assert queue["exclusive"] and queue["auto_delete"] and not queue["durable"]
        arguments = queue["arguments"]
        assert arguments["x-overflow"] == "drop-head"
        assert 0 < arguments["x-max-length"] <= 10_000
        assert 0 < arguments["x-max-length-bytes"] <= 64 * 1024 * 1024
        (binding,) = connection.bound
        assert binding["routing_key"] == "#" and binding["exchange"] == "facts"
        names.add(queue["queue"])
    assert len(names) == 2


def test_what_is_no_event_does_not_end_the_listening(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """The next event tells that one is missing."""
    broker = FakeConnection()
    following: Any = iter([broker])
    monkeypatch.setattr(module, "connections", lambda *_: following)
    monkeypatch.setattr(module, "new_connection", lambda *_: broker)
    found: list[str] = []
    listener = EventListener(
        RabbitMQSettings(),
        RpcSettings(),
        "facts",
        lambda event: found.append(event.subject),
    )
    listener.start()
    until = time.monotonic() + WAIT
    while not broker.consumed and time.monotonic() < until:
        time.sleep(0.001)
    (consumed,) = broker.consumed
    assert consumed["queue"] == broker.declared[0]["queue"] and consumed["no_ack"]
    known = {"source": "/", "type": "a.b", "subject": "s-1", "time": "2026-01-01"}
    body = event_json(id="e-1", sequence=1, data="1", **known).encode()
    for each in (b"no event", body):
        delivery = Delivery(each, {}, {}, 1)
        broker.happen(lambda delivery=delivery: broker.on_reply(delivery))
    assert found == ["s-1"]
    listener.stop()
    listener.join()
    assert (broker.closed, broker.dropped) == (1, 1) and broker.beats
