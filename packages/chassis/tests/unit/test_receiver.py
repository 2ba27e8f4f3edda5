"""What a service asks of the broker, before there is one."""

from typing import Any

import pytest

from chassis.rpc import receiver as module
from chassis.rpc.intake import Intake
from chassis.rpc.receiver import EventReceiver
from chassis.rpc.topology import DELIVERY_LIMIT


class Echo:
    def call(self, data: str) -> tuple[str, str]:
        return data, "echo"


@pytest.mark.parametrize("concurrency", [1, 8, 32])
def test_it_fetches_no_more_than_keeps_its_threads_busy(
    monkeypatch: pytest.MonkeyPatch, concurrency: int
) -> None:
    """Each fetched request counts a delivery when the process dies, and waits here
    although another process may be idle."""
    asked: list[Any] = []

    class Recorder(Intake):
        def __init__(
            self, connection: Any, queue: Any, prefetch: int, *args: Any, **more: Any
        ) -> None:
            super().__init__(connection, queue, prefetch, *args, **more)
            asked.append((prefetch, more))

        def open(self) -> None:
            receiver.stop()
            raise ConnectionRefusedError("there is no broker")

    monkeypatch.setattr(module, "Intake", Recorder)
    receiver = EventReceiver(
        queue_name="work",
        service=Echo,
        service_name="echo",
        concurrency=concurrency,
        max_unsettled_bytes=99,
    )
    receiver.run()
    assert asked == [(2 * concurrency, {"max_bytes": 99})]


def test_its_handler_has_the_limits(monkeypatch: pytest.MonkeyPatch) -> None:
    made: list[Any] = []

    def handler(service: Any, *limits: int, **more: int) -> Any:
        made.append((*limits, more))

    monkeypatch.setattr(module, "RequestHandler", handler)
    receiver = EventReceiver(
        queue_name="work",
        service=Echo,
        service_name="echo",
        max_values=7,
        max_result_bytes=9,
    )
    receiver.stop()
    receiver.run()
    assert made == [(DELIVERY_LIMIT, {"max_values": 7, "max_result_bytes": 9})]
