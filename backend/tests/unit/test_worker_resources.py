"""What a worker process opens is closed; no server is there."""

from typing import Any

import pytest
from sqlalchemy import Engine

from app.core.config import Settings
from app.tasks import resources as module
from app.tasks.resources import (
    close_worker_resources,
    get_worker_resources,
    open_worker_resources,
)
from chassis.calls import call_service
from chassis.rpc.producers import EventProducer


def test_everything_that_was_opened_is_closed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("RABBITMQ_HOST", "127.0.0.1")
    monkeypatch.setenv("RABBITMQ_PORT", "1")
    watched: list[Any] = []
    monkeypatch.setattr(module, "watch_pool", watched.append)
    open_worker_resources(Settings())
    own = get_worker_resources()
    assert watched == [own.engine, own.autocommit]
    pool: Any = own.autocommit.pool
    assert pool.size() == 0, "it has a connection for each task that runs"
    closed: list[Any] = []
    close = EventProducer.close

    def close_noted(producer: EventProducer) -> None:
        closed.append(producer)
        close(producer)

    monkeypatch.setattr(EventProducer, "close", close_noted)
    monkeypatch.setattr(Engine, "dispose", lambda engine: closed.append(engine))
    close_worker_resources()
    close_worker_resources()
    assert closed == [own.producer, own.engine, own.autocommit]
    for use in (get_worker_resources, lambda: call_service("data", {})):
        with pytest.raises(RuntimeError):
            use()
