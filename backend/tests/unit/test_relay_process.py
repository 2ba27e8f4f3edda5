"""The process of the relay: what it begins with, and what it ends in any case."""

import gc
import signal
from types import SimpleNamespace
from typing import Any

import pytest

from app import relay as module


@pytest.mark.parametrize("failure", [None, RuntimeError("a bug")], ids=repr)
def test_telemetry_lasts_as_long_as_the_relay(
    monkeypatch: pytest.MonkeyPatch, failure: Exception | None
) -> None:
    """Metrics tell how far it is behind; the last ones leave with its end."""
    done: list[str] = []

    def note(name: str, error: Exception | None = None) -> Any:
        def noted(*_: Any, **__: Any) -> None:
            done.append(name)
            if error is not None:
                raise error

        return noted

    engine = SimpleNamespace(dispose=note("database"))
    publisher = SimpleNamespace(close=note("publisher"))
    relay = SimpleNamespace(run=note("run", failure))
    monkeypatch.setenv("RABBITMQ_HOST", "127.0.0.1")
    for name in ("configure_logging", "start_telemetry", "stop_telemetry"):
        monkeypatch.setattr(module, name, note(name))
    monkeypatch.setattr(module, "create_sync_engine", lambda *_, **__: engine)
    monkeypatch.setattr(module, "EventPublisher", lambda *_: publisher)
    monkeypatch.setattr(module, "EventRelayService", lambda *_: relay)
    monkeypatch.setattr(signal, "signal", lambda *_: None)
    monkeypatch.setattr(gc, "freeze", lambda: None)
    try:
        module.run_relay()
    except RuntimeError as error:
        assert error is failure
    start = ["configure_logging", "start_telemetry", "run"]
    assert done == [*start, "publisher", "database", "stop_telemetry"]
