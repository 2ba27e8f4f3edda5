"""How ``serve`` uses a class and the environment."""

from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from chassis import calls, service
from chassis.errors import BrokerUnavailable
from chassis.events import Event, on
from chassis.queues import get_queue_name
from chassis.rpc.producers import EventProducer
from chassis.service import serve, service_name
from chassis.settings import ServiceSettings


class PriceListService:
    def call(self, data: str) -> tuple[str, str]:
        return data, "kind"


class Recorder:
    """Replaces EventReceiver."""

    arguments: dict[str, Any] = {}

    def __init__(self, **arguments: Any) -> None:
        type(self).arguments = arguments

    def run(self) -> None:
        """Run a service that may call others meanwhile."""
        with pytest.raises(BrokerUnavailable):
            calls.call_service("nobody", {}, use_rabbitmq=True)


@pytest.fixture(autouse=True)
def receiver(monkeypatch: pytest.MonkeyPatch) -> type[Recorder]:
    for name in ("QUEUE_NAME", "SERVICE_NAME"):
        monkeypatch.delenv(name, raising=False)
    # A call ends at once: there is no broker.
    monkeypatch.setenv("RABBITMQ_HOST", "127.0.0.1")
    monkeypatch.setenv("RABBITMQ_PORT", "1")
    monkeypatch.setenv("RPC_TIMEOUT_SECONDS", "0.001")
    monkeypatch.setattr(service, "EventReceiver", Recorder)
    monkeypatch.setattr(service, "configure_logging", lambda *_: None)
    return Recorder


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("PriceListService", "price_list"),
        ("DataService", "data"),
        ("Pricing", "pricing"),
        ("HTTPCheckService", "http_check"),
        ("Geo2Service", "geo2"),
        ("Service", "service"),
    ],
)
def test_the_name_comes_from_the_class(name: str, expected: str) -> None:
    assert service_name(type(name, (), {})) == expected


def test_a_factory_needs_a_name() -> None:
    assert service_name(partial(PriceListService)) == "service"


def served(receiver: type[Recorder]) -> tuple[str, str]:
    return receiver.arguments["service_name"], receiver.arguments["queue_name"]


def test_serve(receiver: type[Recorder]) -> None:
    serve(PriceListService)
    assert served(receiver) == ("price_list", get_queue_name("price_list"))
    assert isinstance(receiver.arguments["service"](), PriceListService)
    with pytest.raises(RuntimeError):  # it has stopped
        calls.call_service("nobody", {})


def test_telemetry_stops_after_everything_that_has_some(
    receiver: type[Recorder], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Also when the service fails: the last spans say why."""
    order: list[str] = []

    def fail(self: Recorder) -> None:
        order.append("run")
        raise RuntimeError("a bug")

    def note(what: str) -> Callable[..., None]:
        return lambda *_: order.append(what)

    monkeypatch.setattr(Recorder, "run", fail)
    monkeypatch.setattr(EventProducer, "close", note("close calls"))
    monkeypatch.setattr(service, "stop_telemetry", note("stop telemetry"))
    with pytest.raises(RuntimeError, match="a bug"):
        serve(PriceListService)
    assert order == ["run", "close calls", "stop telemetry"]


def test_arguments_replace_the_defaults(receiver: type[Recorder]) -> None:
    serve(PriceListService, name="prices")
    assert served(receiver) == ("prices", get_queue_name("prices"))
    serve(PriceListService, queue="tariffs")
    assert served(receiver) == ("price_list", "tariffs")


def test_the_environment_replaces_the_defaults(
    receiver: type[Recorder], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SERVICE_NAME", "shown")
    serve(PriceListService)
    assert served(receiver) == ("shown", get_queue_name("price_list"))
    monkeypatch.setenv("QUEUE_NAME", "told")
    serve(PriceListService, queue="tariffs")
    assert served(receiver) == ("shown", "told")


def test_its_logs_and_its_telemetry_show_the_name_of_the_environment(
    receiver: type[Recorder], monkeypatch: pytest.MonkeyPatch
) -> None:
    shown: list[str] = []
    for part in ("configure_logging", "start_telemetry"):
        monkeypatch.setattr(service, part, lambda name, *_: shown.append(name))
    serve(PriceListService)
    monkeypatch.setenv("SERVICE_NAME", "shown")
    serve(PriceListService)
    assert shown == ["price_list", "price_list", "shown", "shown"]


def test_its_receiver_has_its_settings(
    receiver: type[Recorder], monkeypatch: pytest.MonkeyPatch
) -> None:
    own = {
        "concurrency": 3,
        "max_unsettled_bytes": 5,
        "max_result_bytes": 7,
        "shutdown_grace_seconds": 11.0,
    }
    for name, value in own.items():
        monkeypatch.setenv(name.upper(), str(value))
    monkeypatch.setenv("MAX_JSON_VALUES", "13")
    gave: list[bool] = []
    monkeypatch.setattr(service, "give_back_memory", lambda: gave.append(True))
    serve(PriceListService)
    assert {**own, "max_values": 13}.items() <= receiver.arguments.items()
    assert gave


def test_settings_of_its_own(receiver: type[Recorder]) -> None:
    class Settings(ServiceSettings):
        concurrency: int = 4

    serve(PriceListService, settings=Settings)
    assert receiver.arguments["concurrency"] == 4


def test_every_setting_reaches_the_receiver(
    receiver: type[Recorder], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    given = {
        "CONCURRENCY": 3,
        "MAX_UNSETTLED_BYTES": 4,
        "MAX_JSON_VALUES": 5,
        "MAX_RESULT_BYTES": 6,
        "SHUTDOWN_GRACE_SECONDS": 7,
        "HEARTBEAT_FILE": tmp_path / "beat",
    }
    for name, value in given.items():
        monkeypatch.setenv(name, str(value))
    serve(PriceListService)
    found = {
        "concurrency": 3,
        "max_unsettled_bytes": 4,
        "max_values": 5,
        "max_result_bytes": 6,
        "shutdown_grace_seconds": 7,
    }
    assert {name: receiver.arguments[name] for name in found} == found
    assert receiver.arguments["rabbitmq"].port == 1
    assert receiver.arguments["rpc"].timeout_seconds == 0.001
    receiver.arguments["heartbeat"].touch()
    assert (tmp_path / "beat").exists()


def test_the_process_is_set_up_under_its_name(
    receiver: type[Recorder], monkeypatch: pytest.MonkeyPatch
) -> None:
    told: list[Any] = []
    monkeypatch.setenv("LOG_LEVEL", "WARNING")
    monkeypatch.setenv("LOG_FORMAT", "text")
    monkeypatch.setenv("ENVIRONMENT", "test")
    for name in ("configure_logging", "start_telemetry"):
        monkeypatch.setattr(service, name, lambda *given: told.append(given))
    serve(PriceListService)
    assert told == [("price_list", "WARNING", "text"), ("price_list", "test")]


class Subscriber:
    """Replaces EventSubscriber."""

    def __init__(self, name: str, runs: list[str]) -> None:
        self.name, self.runs = name, runs

    def run(self) -> None:
        self.runs.append(self.name)

    def stop(self) -> None: ...


class Shop:
    """Handles events, and answers nothing."""

    TABLES = "CREATE TABLE prices ()"

    @on("order.placed")
    def placed(self, event: Event) -> None: ...


@on("record.#")
def counted(event: Event) -> None: ...


@pytest.fixture
def subscribed(monkeypatch: pytest.MonkeyPatch) -> list[Any]:
    """What subscribers were made of; then their names as they run."""
    found: list[Any] = []

    def new_subscriber(handler: Any, own: Any, heartbeat: Any, **more: Any) -> Any:
        found.append((handler.pattern, heartbeat, more))
        return Subscriber(handler.pattern, found)

    monkeypatch.setattr(service, "new_subscriber", new_subscriber)
    return found


def test_events_have_subscribers(
    subscribed: list[Any], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("SERVICE_NAME", "shown")
    monkeypatch.setenv("HEARTBEAT_FILE", str(tmp_path / "beat"))
    serve(Shop, handlers=[counted])
    first, second, *runs = subscribed
    assert {first[0], second[0]} == set(runs) == {"order.placed", "record.#"}
    tables = Shop.TABLES
    assert first[2] == {"name": "shop", "shown": "shown", "tables": tables}
    first[1].touch()
    assert not (tmp_path / "beat").exists()
    second[1].touch()  # all of them work
    assert (tmp_path / "beat").exists()


def test_one_service_may_answer_and_handle_events(
    receiver: type[Recorder], subscribed: list[Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    def run(_: Recorder) -> None:
        subscribed.append("requests")

    monkeypatch.setattr(Recorder, "run", run)
    serve(PriceListService, handlers=[counted])
    made, *runs = subscribed
    assert set(runs) == {"requests", "record.#"}
    assert made[2]["tables"] == ""
    beats = {made[1].number, receiver.arguments["heartbeat"].number}
    assert beats == {0, 1}


def test_a_class_that_does_nothing_is_refused(subscribed: list[Any]) -> None:
    with pytest.raises(ValueError, match="idle: neither `call` nor a handler"):
        serve(type("Idle", (), {}))
