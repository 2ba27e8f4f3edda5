"""Settings, read once from the environment, ``.env`` and secret files.

Each group is a class. ``.env.example`` takes each variable's comment from its
description here. The defaults are those of ``docker-compose.yml``.
"""

import re
from collections.abc import Iterator
from dataclasses import replace
from functools import cached_property
from typing import Annotated, Any, Literal, Self, cast

from pydantic import (
    AfterValidator,
    Field,
    SecretStr,
    create_model,
    model_validator,
)
from pydantic_settings import SettingsConfigDict

from app.core.passwords import ROLE, has_known_password, is_known, with_driver
from app.core.services import SERVICES, ServiceRegistry
from chassis.environment import Group, load
from chassis.settings import ProcessSettings

# Longest delay between two attempts of a task, in seconds.
LONGEST_RETRY_DELAY = 30


def _check_origin(origin: str) -> str:
    if origin != "*" and not re.fullmatch(r"https?://[^/\s*]+", origin):
        raise ValueError(
            "write an origin as https://example.org, without a slash at " "the end"
        )
    return origin


Origin = Annotated[str, AfterValidator(_check_origin)]


class DatabaseSettings(Group):
    """PostgreSQL. Requests use the driver asyncpg, all else psycopg2."""

    database_url: SecretStr = Field(
        SecretStr(f"postgresql+psycopg2://{ROLE}:{ROLE}@postgres:5432/fastapi_db"),
        description="URL of the database, as SQLAlchemy writes it",
    )
    async_database_url: SecretStr | None = Field(
        None, description="The same for asyncpg; derived from DATABASE_URL if unset"
    )
    sql_echo: bool = Field(False, description="Log every statement")
    db_pool_size: int = Field(
        10, ge=1, description="Connections that each process keeps open"
    )
    db_max_overflow: int = Field(
        20,
        ge=0,
        description="Extra connections that a process may open for a short " "time",
    )
    db_timeout_seconds: float = Field(
        10, gt=0, description="Longest wait for a connection or a statement, in seconds"
    )
    db_read_timeout_seconds: float = Field(
        2, gt=0, description="Longest time to read a page of rows, in seconds"
    )

    @property
    def sync_url(self) -> str:
        """DATABASE_URL with its driver spelled out: SQLAlchemy 2.1 reads a bare
        ``postgresql://`` as psycopg 3."""
        return with_driver(self.database_url.get_secret_value(), "psycopg2")

    @property
    def async_url(self) -> str:
        """ASYNC_DATABASE_URL, or DATABASE_URL with asyncpg as the driver."""
        url = self.async_database_url or self.database_url
        return with_driver(url.get_secret_value(), "asyncpg")


class CelerySettings(Group):
    """Celery. ``docs/TASKS.md`` shows how the timeouts relate."""

    model_config = SettingsConfigDict(env_prefix="CELERY_")

    broker_url: SecretStr = Field(
        SecretStr("redis://redis:6379/0"), description="Redis for tasks"
    )
    result_backend: SecretStr = Field(
        SecretStr("redis://redis:6379/0"), description="Redis for task states"
    )
    result_expires_seconds: int = Field(
        3600, ge=1, description="How long Redis keeps task states, in seconds"
    )
    worker_pool: Literal["prefork", "threads"] = Field(
        "prefork",
        description="How a worker runs its tasks: processes (prefork) or threads; "
        "docs/TASKS.md",
    )
    worker_concurrency: int | None = Field(
        None,
        ge=1,
        description="Tasks that a worker runs at a time; if unset, one per "
        "processor, or 16 threads (4 in docker-compose.yml)",
    )
    worker_prefetch_multiplier: int = Field(
        1,
        ge=1,
        description="Tasks that a worker reserves per child or thread. With more than "
        "1, a task may wait behind long or less urgent ones",
    )
    task_soft_time_limit_seconds: int = Field(
        60,
        ge=1,
        description="A task that runs longer is interrupted and retried, in seconds"
        " (prefork only)",
    )
    task_time_limit_seconds: int = Field(
        75,
        ge=1,
        description="A task that runs longer is killed, and left to the sweep, in "
        "seconds (prefork only)",
    )
    task_max_retries: int = Field(
        5,
        ge=0,
        description="Attempts after the first, when a service, the broker or the "
        "database fails",
    )
    visibility_timeout_seconds: int = Field(
        180,
        ge=1,
        description="A task that is not finished by then goes to another worker, in "
        "seconds",
    )
    worker_grace_seconds: float = Field(
        20,
        gt=0,
        description="How long a stopping worker waits for its running tasks, in "
        "seconds",
    )
    sweep_every_seconds: float = Field(
        10,
        gt=0,
        description="How often to look for accepted work that Celery lost, in "
        "seconds",
    )
    sweep_after_seconds: float = Field(
        30,
        gt=0,
        description="How old such work must be before it is published "
        "again, in seconds",
    )
    sweep_publish_limit: int = Field(
        5,
        ge=1,
        description="How often to publish a lost record again before it "
        "counts as failed",
    )
    log_retention_days: float = Field(30, gt=0, description="Days to keep log rows")
    heartbeat_file: str | None = Field(
        None,
        description="The file that worker and beat touch every second while they "
        "work, for probes",
    )

    @model_validator(mode="after")
    def order_the_clocks(self) -> Self:
        """A task must end before another worker may receive it."""
        if self.task_soft_time_limit_seconds >= self.task_time_limit_seconds:
            raise ValueError(
                "CELERY_TASK_SOFT_TIME_LIMIT_SECONDS must be below "
                "CELERY_TASK_TIME_LIMIT_SECONDS"
            )
        longest = self.task_time_limit_seconds + LONGEST_RETRY_DELAY
        if self.visibility_timeout_seconds <= longest:
            raise ValueError(
                f"CELERY_VISIBILITY_TIMEOUT_SECONDS must be above {longest}: the time "
                f"limit and the longest delay of a retry ({LONGEST_RETRY_DELAY} s)"
            )
        return self


class IdempotencySettings(Group):
    """Idempotency keys (API), kept in Redis."""

    model_config = SettingsConfigDict(env_prefix="IDEMPOTENCY_")

    redis_url: SecretStr | None = Field(
        None,
        description="Redis for the keys, ideally a separate one; "
        "CELERY_RESULT_BACKEND if unset",
    )
    ttl_seconds: int = Field(
        3600,
        ge=1,
        description="How long an answer is kept for repeated requests with its key, "
        "in seconds",
    )
    lease_seconds: float = Field(
        60,
        gt=0,
        description="When a process dies, its keys can be used again after this "
        "time, in seconds; longer than RPC_TIMEOUT_SECONDS and "
        "DB_TIMEOUT_SECONDS together",
    )
    max_stored_bytes: int = Field(
        64 * 1024,
        ge=0,
        description="For longer answers, only status and Location are kept",
    )


QueueNames = create_model(
    "QueueNames",
    __base__=Group,
    **cast(Any, {f"{each.name}_queue_name": (str, each.queue) for each in SERVICES}),
)


class Settings(ProcessSettings):
    """API and worker. Create it once per process and pass it down."""

    api_host: str = Field(
        "0.0.0.0",  # nosec: containers are reached from outside
        description="Address that the API listens on",
    )
    api_port: int = Field(8000, ge=1, le=65535, description="Its port")
    web_concurrency: int = Field(1, ge=1, description="Number of API processes")
    max_body_bytes: int = Field(
        1024 * 1024, ge=1, description="Longest request body, in bytes"
    )
    max_body_bytes_in_flight: int = Field(
        32 * 1024 * 1024,
        ge=1,
        description="Bytes of request bodies and answers that a process holds at a "
        "time",
    )
    max_page_bytes: int = Field(
        4 * 1024 * 1024,
        ge=1,
        description="A page of rows ends early at this many stored bytes; it has at "
        "least one row",
    )
    docs_enabled: bool | None = Field(
        None,
        description="Serve Swagger UI, ReDoc and the schema; if unset, except in "
        "production",
    )
    record_retention_days: float | None = Field(
        None, gt=0, description="Days to keep records; for ever if unset"
    )
    cors_origins: list[Origin] = Field(
        [],
        description="JSON list of the origins allowed to call from a browser: "
        '["https://app.example.org"]',
    )
    forwarded_allow_ips: str = Field(
        "127.0.0.1",
        description="Proxies whose X-Forwarded-* headers are trusted: addresses and "
        "networks",
    )
    database: DatabaseSettings = Field(default_factory=DatabaseSettings)
    celery: CelerySettings = Field(default_factory=CelerySettings)
    idempotency: IdempotencySettings = Field(default_factory=IdempotencySettings)
    queues: QueueNames = Field(default_factory=QueueNames)

    @cached_property
    def services(self) -> ServiceRegistry:
        """The services; ``<NAME>_QUEUE_NAME`` replaces the queue of one."""
        queues = self.queues.model_dump()
        return ServiceRegistry(
            tuple(replace(s, queue=queues[f"{s.name}_queue_name"]) for s in SERVICES)
        )

    @property
    def idempotency_redis_url(self) -> str:
        """IDEMPOTENCY_REDIS_URL, or Celery's."""
        url = self.idempotency.redis_url or self.celery.result_backend
        return url.get_secret_value()

    @model_validator(mode="after")
    def outlive_requests(self) -> Self:
        """Nobody may take over a key while its request is still in progress."""
        longest = self.rpc.timeout_seconds + self.database.db_timeout_seconds
        if self.idempotency.lease_seconds <= longest:
            raise ValueError(
                f"IDEMPOTENCY_LEASE_SECONDS must be above {longest:g}: the sum of "
                "RPC_TIMEOUT_SECONDS and DB_TIMEOUT_SECONDS"
            )
        return self

    @property
    def serves_docs(self) -> bool:
        """Whether the API serves its documentation; in production only if asked to."""
        if self.docs_enabled is None:
            return self.environment != "production"
        return self.docs_enabled

    @model_validator(mode="after")
    def refuse_development_values_in_production(self) -> Self:
        """A password printed in a README must not reach production."""
        if self.environment == "production":
            faults = list(self._development_values())
            if faults:
                raise ValueError("\n".join(faults))
        return self

    def _development_values(self) -> Iterator[str]:
        advice = "set your own password; `make secrets` writes a .env with random ones"
        if self.rpc.broker_url is None and is_known(self.rabbitmq.password):
            yield f"RABBITMQ_PASSWORD: {advice}"
        for group in (self.rpc, self.database, self.celery, self.idempotency):
            for name in group.secrets():
                url = getattr(group, name)
                if url is not None and has_known_password(url):
                    yield f"{group.variable(name)}: {advice}"
        if "*" in self.cors_origins:
            yield "CORS_ORIGINS: list the origins instead of *"
        if "*" in self.forwarded_allow_ips:
            yield "FORWARDED_ALLOW_IPS: list the proxies, as addresses or networks"
        if self.database.sql_echo:
            yield "SQL_ECHO: logs what clients send; set it to false"
        if self.log_level == "DEBUG":
            yield "LOG_LEVEL: DEBUG logs what clients send; set it to INFO"


def load_settings() -> Settings:
    """The settings of this process; if they are invalid, exits with a message."""
    return load(Settings)
