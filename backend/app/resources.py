"""The long-lived objects of one API process: created at start, closed at stop."""

import logging
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from functools import partial
from typing import TYPE_CHECKING

from app.api.dependencies import Resources
from app.core.auth_settings import AuthSettings
from app.core.budget import Budget
from app.core.config import Settings
from app.core.database import Database
from app.core.database_connections import writes
from app.core.exceptions import BrokerUnavailable
from app.core.health import Check, HealthChecks, ReadStates
from app.core.rate_limits import RateLimits
from app.infrastructure.http import HttpConnections
from app.infrastructure.postgres.group_commit import GroupCommit
from app.infrastructure.postgres.pool_metrics import watch_pool
from app.infrastructure.rabbitmq import AsyncEventProducer, EventProducer
from app.infrastructure.rabbitmq_management import ManagementApi
from app.infrastructure.redis.key_store import KeyStore
from app.infrastructure.redis.login import FileLogin, file_login
from app.infrastructure.redis.request_counts import RequestCounts
from app.infrastructure.redis.task_states import TaskStates
from app.infrastructure.stream_metrics import watch_streams
from app.infrastructure.task_publisher import TaskPublisher
from app.repositories.data_repository import DataRepository
from app.services.data_service import DataService
from app.services.event_feed import EventFeed
from app.services.event_service import EventLogReader, EventService
from app.services.event_sources import NewListener
from app.services.metrics_service import MetricsService
from app.services.task_service import TaskService
from chassis.events.listener import EventListener
from chassis.rabbitmq import rabbitmq_server
from chassis.redis_url import RedisUrl
from chassis.rpc.client import RpcClient

if TYPE_CHECKING:
    from app.infrastructure.identity.provider import Provider
    from app.infrastructure.identity.tokens import TokenVerifier

logger = logging.getLogger(__name__)


def warn_of_shared_redis(settings: Settings) -> None:
    """Warn if idempotency keys may take the memory that tasks need."""
    tasks = RedisUrl.read(settings.celery.broker_url.get_secret_value())
    if tasks.is_same_server(RedisUrl.read(settings.idempotency_redis_url)):
        logger.warning(
            "Idempotency keys and Celery share one Redis: when it is full, it "
            "accepts neither keys nor tasks. Set IDEMPOTENCY_REDIS_URL to a separate "
            "Redis."
        )


def open_identity(
    settings: AuthSettings,
) -> "tuple[Provider, TokenVerifier] | tuple[None, None]":
    """What verifies tokens; nothing without an issuer, which saves the 10 MB that the
    imports here take."""
    if not settings.issuer:
        return None, None
    from app.infrastructure.identity.provider import Provider
    from app.infrastructure.identity.tokens import TokenVerifier

    provider = Provider(settings)
    return provider, TokenVerifier(settings, provider)


def event_listener(settings: Settings) -> NewListener | None:
    """Makes listeners to published events. Over Redis there are none: streams then
    read the table."""
    if rabbitmq_server(settings.rabbitmq, settings.rpc) is None:
        return None
    exchange = settings.events.exchange
    return partial(EventListener, settings.rabbitmq, settings.rpc, exchange)


def event_service(
    settings: Settings, database: Database, budget: Budget
) -> EventService:
    """The event log, and the feed of streams."""
    seconds = settings.database.db_read_timeout_seconds
    log = EventLogReader(database, budget, seconds)
    feed = EventFeed(
        log,
        settings.events.source,
        event_listener(settings),
        max_streams=settings.events.max_streams,
        max_of_caller=settings.events.max_streams_of_caller,
        stream_seconds=settings.events.stream_max_seconds,
    )
    return EventService(log, feed, settings.events.source)


def redis_login(settings: Settings) -> FileLogin | None:
    """Reads the password of the Redis for keys again, if a file has it."""
    if settings.idempotency.redis_url:
        return file_login(settings.idempotency, "redis_url")
    return file_login(settings.celery, "result_backend")


def key_store(settings: Settings, login: FileLogin | None) -> KeyStore:
    """Idempotency keys in Redis."""
    return KeyStore(
        settings.idempotency_redis_url,
        login=login,
        lease=settings.idempotency.lease_seconds,
        keep=settings.idempotency.ttl_seconds,
        key_prefix=settings.celery.key_prefix,
    )


def health_checks(
    database: Database,
    rpc: RpcClient,
    states: TaskStates,
    keys: KeyStore,
    provider: "Provider | None",
    services: ReadStates,
) -> HealthChecks:
    """What ``/health`` asks, and which of the servers the API cannot do without."""

    async def check_database() -> None:
        await database.check()
        if writes.are_refused:  # a full disk is noticed by a write alone
            async with database.session() as session:
                await DataRepository(session).try_to_write()
            writes.accept()

    async def check_rabbitmq() -> None:
        # While calls wait for the next connection, none has failed.
        if rpc.refusal is not None and not rpc.reconnect_wait:
            raise BrokerUnavailable(rpc.refusal)

    checks: dict[str, Check] = {
        "postgresql": check_database,
        "rabbitmq": check_rabbitmq,
        "redis": states.check,
        "redis-keys": keys.check,
    }
    if provider is not None:
        checks["identity-provider"] = provider.check
    required = frozenset({"postgresql", "rabbitmq"})
    return HealthChecks(checks, required=required, read_services=services)


@asynccontextmanager
async def open_resources(
    settings: Settings, budget: Budget
) -> AsyncIterator[Resources]:
    """No server is contacted here: the API starts without them, reports it in
    ``/health``, and works as soon as they are up."""
    warn_of_shared_redis(settings)
    async with AsyncExitStack() as closing:
        database = Database(settings.database)
        closing.push_async_callback(database.close)
        commits = GroupCommit(database.engine)
        closing.push_async_callback(commits.close)
        publisher = TaskPublisher(settings.celery)
        closing.callback(publisher.close)
        http = HttpConnections()
        closing.push_async_callback(http.close)
        login = redis_login(settings)
        keys = key_store(settings, login)
        closing.push_async_callback(keys.close)
        states = TaskStates(settings.celery)
        closing.push_async_callback(states.close)
        limits = None
        if settings.rate_limits.policies:
            counts = RequestCounts(
                settings.idempotency_redis_url,
                settings.celery.key_prefix,
                login,
            )
            closing.push_async_callback(counts.close)
            limits = RateLimits(settings.rate_limits.policies, counts.add)
        provider, identity = open_identity(settings.auth)
        if provider is not None:
            closing.push_async_callback(provider.close)
            provider.refresh()
        rpc = RpcClient(settings.rabbitmq, settings.rpc)
        producer = AsyncEventProducer(rpc, settings.rpc.timeout_seconds)
        closing.push_async_callback(producer.close)
        rpc.start()
        events = event_service(settings, database, budget)
        closing.push_async_callback(events.feed.close)

        watch_pool(database.engine.sync_engine)
        watch_streams(lambda: events.feed.open_streams)
        tasks = TaskService(database, states, budget)
        metrics = MetricsService(
            rpc, ManagementApi(settings.rabbitmq, settings.rpc), settings.services
        )
        yield Resources(
            settings=settings,
            database=database,
            producer=EventProducer(rpc, settings.rpc.timeout_seconds),
            data_services={
                service.name: DataService(
                    service,
                    producer=producer,
                    publisher=publisher,
                    database=database,
                    commits=commits,
                    tasks=tasks,
                )
                for service in settings.services
            },
            events=events,
            metrics_service=metrics,
            health=health_checks(
                database, rpc, states, keys, provider, metrics.read_services
            ),
            keys=keys,
            http=http,
            publisher=publisher,
            identity=identity,
            rate_limits=limits,
        )
