"""The queue of a process that listens, without a broker."""

import os
import threading
import time
from collections.abc import Callable, Iterator
from functools import partial
from typing import Any

import pytest

from chassis.events import listener as module
from chassis.events.event import event_json
from chassis.events.listener import EventListener
from chassis.rpc.connection import Delivery
from chassis.settings import RabbitMQSettings, RpcSettings
from tests.unit.broker import WAIT, FakeConnection, replace_connections


class Bench:
    """A listener and its connections, one after another."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(module, "HEARTBEAT_CHECK", 60)
        self.connections = [FakeConnection() for _ in range(3)]
        asked = replace_connections(monkeypatch, module, self.connections)
        rabbitmq, rpc = RabbitMQSettings(host="h"), RpcSettings()
        self.found: list[str] = []
        self.listener = EventListener(
            rabbitmq, rpc, "facts", lambda event: self.found.append(event.subject)
        )
        assert asked == [(rabbitmq, rpc, "events")] * 2
        self.listener.start()
        self.wait(lambda: self.connections[0].consumed)

    def wait(self, condition: Callable[[], Any]) -> None:
        until = time.monotonic() + WAIT
        while not condition():
            assert time.monotonic() < until
            time.sleep(0.001)

    def stop(self) -> None:
        self.listener.stop()
        self.listener.stop()  # once more does nothing
        self.listener.join()


@pytest.fixture
def bench(monkeypatch: pytest.MonkeyPatch) -> Iterator[Bench]:
    bench = Bench(monkeypatch)
    yield bench
    bench.stop()


def test_its_queue_is_bounded_and_goes_with_the_connection(bench: Bench) -> None:
    """A process that hangs must not fill the broker, nor one that died."""
    bench.connections[0].lose()
    bench.wait(lambda: bench.connections[1].consumed)
    names = set()
    for connection in bench.connections[:2]:
        (queue,) = connection.declared
        assert queue["exclusive"] and queue["auto_delete"] and queue["durable"] is False
        arguments = queue["arguments"]
        assert arguments["x-overflow"] == "drop-head"
        assert 0 < arguments["x-max-length"] <= 10_000
        assert 0 < arguments["x-max-length-bytes"] <= 64 * 1024 * 1024
        (binding,) = connection.bound
        name = queue["queue"]
        assert binding == {"queue": name, "exchange": "facts", "routing_key": "#"}
        (consumed,) = connection.consumed
        assert consumed == {"queue": name, "tag": "events", "no_ack": True}
        names.add(name)
    assert len(names) == 2


def test_what_is_no_event_does_not_end_the_listening(bench: Bench) -> None:
    """The next event tells that one is missing."""
    broker = bench.connections[0]
    known = {"source": "/", "type": "a.b", "subject": "s-1", "time": "2026-01-01"}
    body = event_json(id="e-1", sequence=1, data="1", **known).encode()
    for each in (b"no event", body):
        broker.happen(partial(broker.on_reply, Delivery(each, {}, {}, 1)))
    assert bench.found == ["s-1"]
    bench.stop()
    assert (broker.closed, broker.dropped, broker.beats) == (1, 1, 1)
    assert not bench.connections[1].consumed


@pytest.mark.parametrize(("text", "is_bug"), [("lost", False), ("a bug", True)])
def test_a_loss_is_told_with_what_to_do(
    bench: Bench, caplog: pytest.LogCaptureFixture, text: str, is_bug: bool
) -> None:
    error = LookupError(text) if is_bug else ConnectionResetError(text)
    bench.connections[0].lose(error)
    bench.wait(lambda: bench.connections[1].consumed)
    (warning,) = [each for each in caplog.records if each.message.startswith("Lost")]
    assert warning.message.startswith("Lost the events of a broker: ")
    assert warning.message.endswith("ask its author" if is_bug else "lost")
    assert bool(warning.exc_info) is is_bug


def test_it_answers_heartbeats_and_leaves_nothing_open(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    connection, beats = FakeConnection(), threading.Semaphore(0)
    monkeypatch.setattr(connection, "heartbeat", beats.release)
    monkeypatch.setattr(module, "HEARTBEAT_CHECK", 0.01)
    monkeypatch.setattr(module, "connections", lambda *_: iter([connection]))
    monkeypatch.setattr(module, "new_connection", lambda *_: connection)
    files = len(os.listdir("/proc/self/fd"))
    listener = EventListener(RabbitMQSettings(), RpcSettings(), "facts", print)
    listener.start()
    for _ in range(2):
        assert beats.acquire(timeout=WAIT)
    listener.stop()
    listener.join()
    assert len(os.listdir("/proc/self/fd")) <= files
