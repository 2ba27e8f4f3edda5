"""What one API process holds: made when it starts, given back when it stops."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass

from sqlalchemy import text

from app.core.config import Settings
from app.core.database import Database
from app.core.exceptions import BrokerUnavailable
from app.core.health import HealthChecks
from app.infrastructure.key_store import KeyStore
from app.infrastructure.rabbitmq import AsyncEventProducer, EventProducer
from app.infrastructure.rabbitmq_management import ManagementApi
from app.infrastructure.redis import TaskStates
from app.infrastructure.rpc.client import RpcClient
from app.infrastructure.task_publisher import TaskPublisher
from app.services.data_service import DataService
from app.services.metrics_service import MetricsService
from app.services.task_service import TaskService


@dataclass(frozen=True)
class Resources:
    """The long-lived objects of an API process."""

    settings: Settings
    database: Database
    rpc: RpcClient
    producer: EventProducer
    data_service: DataService
    task_service: TaskService
    metrics_service: MetricsService
    health: HealthChecks
    keys: KeyStore


@asynccontextmanager
async def open_resources(settings: Settings) -> AsyncIterator[Resources]:
    """Nothing is asked of any server here: the API starts without them, says so in
    ``/health``, and serves as soon as they are there."""
    database = Database(settings.database)
    rpc = RpcClient(settings.rabbitmq, settings.rpc)
    producer = AsyncEventProducer(rpc, settings.rpc.timeout_seconds)
    publisher = TaskPublisher(settings.celery)
    states = TaskStates(settings.celery)
    keys = KeyStore(
        settings.idempotency_redis_url,
        lease=settings.idempotency.lease_seconds,
        keep=settings.idempotency.ttl_seconds,
    )
    data_service = DataService(producer, publisher, database, settings.data_queue_name)

    async def check_database() -> None:
        async with database.session() as session:
            await session.execute(text("SELECT 1"))

    async def check_rabbitmq() -> None:
        if not rpc.connected:
            raise BrokerUnavailable("There is no connection.")

    rpc.start()
    try:
        yield Resources(
            settings=settings,
            database=database,
            rpc=rpc,
            producer=EventProducer(rpc, settings.rpc.timeout_seconds),
            data_service=data_service,
            task_service=TaskService(database, states),
            metrics_service=MetricsService(
                rpc, ManagementApi(settings.rabbitmq), settings.data_queue_name
            ),
            health=HealthChecks(
                {
                    "postgresql": check_database,
                    "rabbitmq": check_rabbitmq,
                    "redis": states.check,
                },
                required=frozenset({"postgresql", "rabbitmq"}),
            ),
            keys=keys,
        )
    finally:
        await producer.close()
        await states.close()
        await keys.close()
        publisher.close()
        await database.close()
