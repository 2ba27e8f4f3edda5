"""The queue of a process that listens, without a broker."""

import os
import threading
import time
from typing import Any

import pytest

from chassis.events import listener as module
from chassis.events.listener import EventListener
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
