"""The long-lived objects of one worker process: created after the fork, closed at its
end."""

from dataclasses import dataclass
from typing import Any

from sqlalchemy import Engine

from app.core.config import Settings
from app.core.database import create_sync_engine
from app.infrastructure.postgres.pool_metrics import watch_pool
from app.infrastructure.rabbitmq import EventProducer
from chassis.calls import set_event_producer


@dataclass(frozen=True)
class WorkerResources:
    """Sync engines and a synchronous RPC client.

    ``autocommit`` is for single statements: it saves the round trips of a
    transaction.
    """

    settings: Settings
    engine: Engine
    autocommit: Engine
    producer: EventProducer

    def call_service(self, name: str, payload: dict[str, Any]) -> Any:
        """Call a service of ``app.core.services``; returns its outcome.

        Raises:
            LookupError: there is no such service.
            ApplicationError: as ``EventProducer.call``.
        """
        service = self.settings.services.get_service(name)
        return self.producer.call(service.queue, payload).outcome


_resources: WorkerResources | None = None


def open_worker_resources(settings: Settings) -> None:
    """Create the resources of this process. Connections open on first use."""
    global _resources
    engine = create_sync_engine(settings.database)
    autocommit = create_sync_engine(
        settings.database,
        pool_size=0,  # no limit: at most one per running task, each kept
        isolation_level="AUTOCOMMIT",
        skip_autocommit_rollback=True,
    )
    watch_pool(engine)
    watch_pool(autocommit)
    producer = EventProducer.connect(settings.rabbitmq, settings.rpc)
    set_event_producer(producer)
    _resources = WorkerResources(settings, engine, autocommit, producer)


def get_worker_resources() -> WorkerResources:
    """The resources of this process.

    Raises:
        RuntimeError: not in a worker.
    """
    if _resources is None:
        raise RuntimeError(
            "open_worker_resources() has not been called in this process"
        )
    return _resources


def end_calls() -> bool:
    """Fail the calls of this process, as if the broker were lost; False if it runs no
    tasks itself."""
    if _resources is None:
        return False
    _resources.producer.close()
    return True


def close_worker_resources() -> None:
    """Close them; a second call does nothing."""
    global _resources
    if _resources is not None:
        set_event_producer(None)
        _resources.producer.close()
        _resources.engine.dispose()
        _resources.autocommit.dispose()
        _resources = None
