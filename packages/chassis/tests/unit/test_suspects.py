"""Requests that may have ended a process run alone."""

from typing import cast

import pytest

from chassis.rpc.connection import BrokerConnection, Delivery
from chassis.rpc.intake import Intake
from chassis.rpc.topology import RequestQueue
from chassis.rpc.wire import Outcome, Request, Settlement
from tests.unit.fake_connection import PREFETCH, FakeConnection


class Crashed:
    """An intake after a crash, or before one; `running` are the tags that run."""

    def __init__(self, **limits: int) -> None:
        self.connection = FakeConnection()
        self.intake = Intake(
            cast(BrokerConnection, self.connection),
            RequestQueue("work"),
            PREFETCH,
            self._run,
            **limits,
        )
        self.running: dict[int, Request] = {}
        self.intake.open()

    def _run(self, request: Request) -> None:
        self.running[request.delivery.tag] = request

    def deliver(self, attempt: int, *tags: int) -> None:
        for tag in tags:
            headers = {"x-delivery-count": attempt - 1} if attempt > 1 else {}
            self.connection.deliver(Delivery(b"{}", headers, {}, tag))
        self.intake.receive()

    def finish(self, tag: int) -> None:
        self.intake.send([(self.running.pop(tag), Outcome(Settlement.ACK))])


@pytest.mark.promise(
    "docs/RPC.md",
    "A new consumer therefore fetches one request at a time, until it gets one on"
    " its first delivery.",
)
def test_after_a_start_it_fetches_one_at_a_time_until_one_is_new() -> None:
    service = Crashed()
    assert service.connection.size == 1
    for tag, attempt in enumerate((2, 3, 4), start=1):
        service.deliver(attempt, tag)
        assert list(service.running) == [tag]
        service.finish(tag)
        assert service.connection.writes[-1] == f"ack up to {tag}"  # at once
        assert service.connection.size == 1
    service.deliver(1, 4)
    assert service.connection.size == PREFETCH


@pytest.mark.promise(
    "docs/RPC.md",
    "Later, requests on delivery number `x-delivery-limit` or above run alone",
)
@pytest.mark.promise(
    "docs/RPC.md",
    "So a request that ends the process reaches the dead-letter queue without its"
    " neighbours.",
)
@pytest.mark.parametrize(("attempt", "order"), [(3, [4, 5, 6]), (4, [6, 5, 4])])
def test_suspects_run_alone(attempt: int, order: list[int]) -> None:
    service = Crashed()
    service.deliver(1, 1, 2)
    service.deliver(2, 3)  # perhaps only failed before
    service.deliver(attempt, 4, 5, 6)
    assert service.connection.consumer is None  # it fetches no more
    assert list(service.running) == [1, 2, 3]
    for tag in (1, 2, 3):
        service.finish(tag)
    for tag in order:
        assert list(service.running) == [tag]
        assert service.connection.consumer is None
        service.finish(tag)
        assert f"{tag}" in service.connection.writes[-1]
    assert (service.connection.size, service.running) == (1, {})
    assert service.connection.consumer is not None


def test_a_stopping_service_begins_no_suspect() -> None:
    service = Crashed()
    service.deliver(1, 1)
    service.deliver(3, 2)
    service.intake.cancel()
    service.finish(1)
    assert (service.running, service.connection.consumer) == ({}, None)


def test_what_is_finished_does_not_return_when_a_suspect_ends_the_process() -> None:
    service = Crashed()
    service.deliver(1, 1)
    service.finish(1)
    assert service.connection.writes == []  # its acknowledgement waits for others
    service.deliver(3, 2)
    assert list(service.running) == [2]
    assert service.connection.writes == ["ack up to 1"]


def test_a_new_consumer_reads_what_came_with_the_brokers_answer(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Unless it is full: then it is behind."""
    for size, is_full in ((2, False), (5, True)):
        intake = Crashed(max_bytes=5)
        read: list[bool] = []
        monkeypatch.setattr(
            intake.connection, "receive", lambda is_enough: read.append(is_enough())
        )
        intake.connection.deliver(Delivery(b"1" * size, {}, {}, 1))
        read.clear()
        intake.intake.receive()
        assert read == [is_full] + [False] * (not is_full)
        assert intake.intake.is_behind is is_full
