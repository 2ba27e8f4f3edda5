"""What a service's settings mean for its requests, without a broker."""

import math
import os
import signal
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
from pydantic import SecretStr

from chassis.rpc import receiver as module
from chassis.rpc.receiver import EventReceiver
from chassis.rpc.wire import Outcome, Request, Settlement
from chassis.settings import RabbitMQSettings, RpcSettings
from chassis.telemetry import tracing
from tests.unit.broker import FakeConnection, Heart
from tests.unit.deliveries import make_request

REDIS = RpcSettings(broker_url=SecretStr("redis://h"))


class Intake:
    """Delivers one request, and stops the receiver when it has the outcome."""

    errors = (ConnectionError,)
    flush_at = math.inf
    is_full = is_behind = False
    body = b'{"payload": 1}'
    outcomes: list[Outcome] = []
    on_outcome: Callable[[], None] = lambda: None
    asked: dict[str, Any] = {}

    def __init__(
        self, connection: Any, queue: Any, prefetch: int, on_request: Any, **more: Any
    ) -> None:
        self.asked |= more | {"queue": queue.name, "prefetch": prefetch}
        self.queue_name = queue.name
        self.connection = FakeConnection()
        self._on_request = on_request

    def open(self) -> None:
        self._on_request(make_request(self.body, intake=self))

    def send(self, outcomes: list[tuple[Request, Outcome]]) -> None:
        self.outcomes += [outcome for _, outcome in outcomes]
        type(self).on_outcome()

    def receive(self) -> None: ...

    def flush(self) -> None: ...

    def cancel(self) -> None: ...

    def close(self) -> None: ...


class Echo:
    def call(self, data: str) -> tuple[str, str]:
        return data, "echo"


class Broken:
    def call(self, data: str) -> tuple[str, str]:
        raise LookupError("a bug")


class Bench:
    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(module, "Intake", Intake)
        self.outcomes: list[Outcome] = []
        self.asked: dict[str, Any] = {}
        monkeypatch.setattr(Intake, "outcomes", self.outcomes)
        monkeypatch.setattr(Intake, "asked", self.asked)
        self._monkeypatch = monkeypatch

    def serve(
        self,
        service: type = Echo,
        meanwhile: Callable[[], None] = lambda: None,
        **options: Any,
    ) -> Outcome:
        """What becomes of one request."""
        receiver = EventReceiver(
            queue_name="work", service=service, service_name="echo", **options
        )

        def on_outcome() -> None:
            meanwhile()
            receiver.stop()

        self._monkeypatch.setattr(Intake, "on_outcome", on_outcome)
        receiver.run()
        (outcome,) = self.outcomes
        return outcome


@pytest.fixture
def bench(monkeypatch: pytest.MonkeyPatch) -> Bench:
    return Bench(monkeypatch)


def test_a_request_is_answered(bench: Bench) -> None:
    outcome = bench.serve(concurrency=3, max_unsettled_bytes=99)
    assert outcome == Outcome.answer('{"payload": 1}', "echo")
    assert bench.asked == {"queue": "work", "prefetch": 6, "max_bytes": 99}


@pytest.mark.parametrize(
    ("rpc", "settlement"),
    [(None, Settlement.REQUEUE), (REDIS, Settlement.DEAD_LETTER)],
)
def test_redis_counts_no_deliveries_so_a_failure_is_the_last(
    bench: Bench, rpc: RpcSettings | None, settlement: Settlement
) -> None:
    outcome = bench.serve(Broken, rpc=rpc)
    assert outcome.settlement is settlement
    assert (outcome.reply is not None) is (settlement is Settlement.DEAD_LETTER)


def test_limits_of_requests_and_answers(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert bench.serve(max_result_bytes=3).error == "result_too_large"
    bench.outcomes.clear()
    monkeypatch.setattr(Intake, "body", b"[1,2,3,4,5,6,7,8,9,10,11]")
    assert bench.serve(max_values=2).error == "too_many_values"
    bench.outcomes.clear()
    assert bench.serve(max_values=12).error is None


def test_probes_see_that_it_works(bench: Bench, tmp_path: Path) -> None:
    file, marker = tmp_path / "beat", tmp_path / "beat.connected"
    found: list[bool] = []
    bench.serve(heartbeat_file=file, meanwhile=lambda: found.append(marker.exists()))
    assert found == [True] and file.exists() and not marker.exists()


def test_a_heartbeat_replaces_the_file(bench: Bench, tmp_path: Path) -> None:
    heart = Heart()
    bench.serve(heartbeat=heart, heartbeat_file=tmp_path / "beat")
    assert heart.beats and heart.connected == [False, True, False]
    assert not list(tmp_path.iterdir())


def test_arguments_replace_the_variables(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    given: list[Any] = []

    def connections(*arguments: Any) -> Any:
        given.append(arguments)
        return iter([None])

    monkeypatch.setattr(module, "connections", connections)
    bench.serve(username="u", password="sesame", host="h", port=7)
    bench.outcomes.clear()
    own, rpc = RabbitMQSettings(host="own"), RpcSettings(max_in_flight=7)
    bench.serve(rabbitmq=own, rpc=rpc, host="ignored")
    (first, _, name), second = given
    assert (first.user, first.host, first.port, name) == ("u", "h", 7, "echo")
    assert first.password.get_secret_value() == "sesame"
    assert second == (own, rpc, "echo")


def test_a_signal_lets_it_finish(bench: Bench) -> None:
    class Killed:
        def call(self, data: str) -> tuple[str, str]:
            os.kill(os.getpid(), signal.SIGTERM)
            return data, "echo"

    receiver = EventReceiver(queue_name="work", service=Killed, service_name="echo")
    before = signal.getsignal(signal.SIGTERM)
    receiver.run()
    assert [outcome.error for outcome in bench.outcomes] == [None]
    assert signal.getsignal(signal.SIGTERM) is before


def test_it_waits_no_longer_than_its_grace(
    bench: Bench, caplog: pytest.LogCaptureFixture
) -> None:
    go_on, began = threading.Event(), threading.Event()

    class Endless:
        def call(self, data: str) -> tuple[str, str]:
            began.set()
            go_on.wait(10)
            return data, "echo"

    receiver = EventReceiver(
        queue_name="work",
        service=Endless,
        service_name="echo",
        shutdown_grace_seconds=0,
    )
    thread = threading.Thread(target=receiver.run)
    thread.start()
    assert began.wait(10)
    receiver.stop()
    thread.join(5)
    assert not thread.is_alive() and not bench.outcomes
    assert "1 requests still run after 0 s" in caplog.text
    go_on.set()


def test_each_request_has_a_span(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    exporter, provider = InMemorySpanExporter(), TracerProvider()
    provider.add_span_processor(SimpleSpanProcessor(exporter))
    monkeypatch.setattr(tracing, "tracer", provider.get_tracer("test"))
    monkeypatch.setattr(tracing, "is_enabled", lambda: True)
    assert bench.serve(rpc=REDIS).error is None
    (span,) = exporter.get_finished_spans()
    assert span.name == "process work"
    assert span.attributes and span.attributes["messaging.system"] == "redis"
