"""What a service asks of the broker, before there is one."""

from typing import Any

import pytest

from chassis.rpc import receiver as module
from chassis.rpc.intake import Intake
from chassis.rpc.receiver import EventReceiver


class Echo:
    def call(self, data: str) -> tuple[str, str]:
        return data, "echo"


@pytest.mark.parametrize("concurrency", [1, 8, 32])
def test_it_fetches_no_more_than_keeps_its_threads_busy(
    monkeypatch: pytest.MonkeyPatch, concurrency: int
) -> None:
    """Each fetched request counts a delivery when the process dies, and waits here
    although another process may be idle."""
    asked: list[int] = []

    class Recorder(Intake):
        def __init__(
            self, connection: Any, queue: Any, prefetch: int, *args: Any, **more: Any
        ) -> None:
            super().__init__(connection, queue, prefetch, *args, **more)
            asked.append(prefetch)

        def open(self) -> None:
            receiver.stop()
            raise ConnectionRefusedError("there is no broker")

    monkeypatch.setattr(module, "Intake", Recorder)
    receiver = EventReceiver(
        queue_name="work", service=Echo, service_name="echo", concurrency=concurrency
    )
    receiver.run()
    assert asked == [2 * concurrency]
