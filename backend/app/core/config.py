"""Settings, read once from the environment, ``.env`` and secret files.

Each group is a class; the comment in ``.env.example`` of each variable is its
description here. Defaults are those of ``docker-compose.yml``.
"""

import re
from collections.abc import Iterator
from dataclasses import replace
from functools import cached_property
from typing import Annotated, Any, Literal, Self, cast
from urllib.parse import unquote, urlsplit

from pydantic import (
    AfterValidator,
    Field,
    SecretStr,
    create_model,
    model_validator,
)
from pydantic_settings import SettingsConfigDict

from app.core.services import SERVICES, ServiceRegistry
from chassis.environment import Group, load
from chassis.settings import ProcessSettings

# Seconds between two attempts of a task, at the most.
LONGEST_RETRY_DELAY = 30

DEVELOPMENT_PASSWORDS = {"guest", "welcome1", "fastapi", "postgres", "password", ""}


def _check_origin(origin: str) -> str:
    if origin != "*" and not re.fullmatch(r"https?://[^/\s*]+", origin):
        raise ValueError("name origins as browsers do: https://example.org, no slash")
    return origin


Origin = Annotated[str, AfterValidator(_check_origin)]


class DatabaseSettings(Group):
    """PostgreSQL, by two drivers: asyncpg for requests, psycopg2 for the rest."""

    database_url: SecretStr = SecretStr(
        "postgresql+psycopg2://fastapi:fastapi@postgres:5432/fastapi_db"
    )
    async_database_url: SecretStr | None = Field(
        None, description="DATABASE_URL with asyncpg if unset."
    )
    sql_echo: bool = Field(False, description="Log every statement.")
    db_pool_size: int = Field(10, ge=1)
    db_max_overflow: int = Field(20, ge=0)
    db_timeout_seconds: float = Field(
        10, gt=0, description="Longest wait for a connection or a statement."
    )
    db_read_timeout_seconds: float = Field(
        2, gt=0, description="Longest that a page of rows may take to read."
    )

    @property
    def sync_url(self) -> str:
        """DATABASE_URL with its driver spelled out: SQLAlchemy 2.1 means psycopg 3
        by a bare ``postgresql://``."""
        return _with_driver(self.database_url.get_secret_value(), "psycopg2")

    @property
    def async_url(self) -> str:
        """ASYNC_DATABASE_URL, or DATABASE_URL by way of asyncpg."""
        url = self.async_database_url or self.database_url
        return _with_driver(url.get_secret_value(), "asyncpg")


class CelerySettings(Group):
    """Asynchronous work. ``docs/TASKS.md`` shows how the clocks relate."""

    model_config = SettingsConfigDict(env_prefix="CELERY_")

    broker_url: SecretStr = SecretStr("redis://redis:6379/0")
    result_backend: SecretStr = SecretStr("redis://redis:6379/0")
    result_expires_seconds: int = Field(3600, ge=1)
    worker_pool: Literal["prefork", "threads"] = Field(
        "prefork",
        description="Processes, or threads in one; docs/TASKS.md compares them.",
    )
    worker_concurrency: int | None = Field(
        None,
        ge=1,
        description="Tasks that a worker runs at a time; if unset, one for each "
        "processor (prefork), or 16 (threads).",
    )
    task_soft_time_limit_seconds: int = Field(
        60, ge=1, description="A task that runs longer is interrupted and retried."
    )
    task_time_limit_seconds: int = Field(
        75,
        ge=1,
        description="A task that runs longer is killed, and left to the sweep.",
    )
    task_max_retries: int = Field(5, ge=0)
    visibility_timeout_seconds: int = Field(
        180,
        ge=1,
        description="A task that no worker finished by then is given to another.",
    )
    worker_grace_seconds: float = Field(
        20, gt=0, description="Time for running tasks when the worker is stopped."
    )
    sweep_every_seconds: float = Field(10, gt=0)
    sweep_after_seconds: float = Field(
        30,
        gt=0,
        description="Records that wait longer, and that Celery lost, go again.",
    )
    sweep_publish_limit: int = Field(
        5,
        ge=1,
        description="Times to publish a lost record again before it has failed.",
    )
    log_retention_days: float = Field(30, gt=0, description="Older log rows go.")
    heartbeat_file: str | None = Field(
        None,
        description="A file that worker or beat touches every second while it works.",
    )

    @model_validator(mode="after")
    def order_the_clocks(self) -> Self:
        """A task must be over before another worker may get it."""
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
    """``Idempotency-Key``, kept in Redis."""

    model_config = SettingsConfigDict(env_prefix="IDEMPOTENCY_")

    redis_url: SecretStr | None = Field(
        None, description="Redis for the keys; CELERY_RESULT_BACKEND if unset."
    )
    ttl_seconds: int = Field(
        3600, ge=1, description="How long an answer is kept for the next with its key."
    )
    lease_seconds: float = Field(
        60,
        gt=0,
        description="After that a key whose process was killed may be worked on again; "
        "longer than the longest request.",
    )
    max_stored_bytes: int = Field(
        4 * 1024 * 1024, ge=0, description="Longer answers are not kept."
    )


QueueNames = create_model(
    "QueueNames",
    __base__=Group,
    **cast(Any, {f"{each.name}_queue_name": (str, each.queue) for each in SERVICES}),
)


class Settings(ProcessSettings):
    """Everything one process needs to know. Build it once, pass it down."""

    api_host: str = "0.0.0.0"  # nosec: containers are reached from outside
    api_port: int = Field(8000, ge=1, le=65535)
    web_concurrency: int = Field(1, ge=1, description="Number of API processes.")
    max_body_bytes: int = Field(1024 * 1024, ge=1)
    max_body_bytes_in_flight: int = Field(
        32 * 1024 * 1024,
        ge=1,
        description="Bytes of bodies and answers that a process holds at a time.",
    )
    max_page_bytes: int = Field(
        4 * 1024 * 1024,
        ge=1,
        description="Stored bytes after which a page ends early; it has one row at "
        "least.",
    )
    docs_enabled: bool | None = Field(
        None,
        description="Swagger UI, ReDoc and the schema; all but production if unset.",
    )
    record_retention_days: float | None = Field(
        None, gt=0, description="Older records go; all are kept if unset."
    )
    cors_origins: list[Origin] = Field(
        [],
        description='JSON list of origins that browsers may call from: ["https://x"]',
    )
    forwarded_allow_ips: str = Field(
        "127.0.0.1", description="Proxies whose X-Forwarded-* headers are believed."
    )
    database: DatabaseSettings = Field(default_factory=DatabaseSettings)
    celery: CelerySettings = Field(default_factory=CelerySettings)
    idempotency: IdempotencySettings = Field(default_factory=IdempotencySettings)
    queues: QueueNames = Field(default_factory=QueueNames)

    @cached_property
    def services(self) -> ServiceRegistry:
        """The services, each with the queue that ``<NAME>_QUEUE_NAME`` names, if so."""
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
        """Nobody may take over a key whose holder is still at work."""
        longest = self.rpc.timeout_seconds + self.database.db_timeout_seconds
        if self.idempotency.lease_seconds <= longest:
            raise ValueError(
                f"IDEMPOTENCY_LEASE_SECONDS must be above {longest:g}: the sum of "
                "RPC_TIMEOUT_SECONDS and DB_TIMEOUT_SECONDS"
            )
        return self

    @property
    def serves_docs(self) -> bool:
        """Whether the API shows its documentation: in production only if asked to."""
        if self.docs_enabled is None:
            return self.environment != "production"
        return self.docs_enabled

    @model_validator(mode="after")
    def refuse_development_values_in_production(self) -> Self:
        """A password that is printed in a README must not reach production."""
        if self.environment == "production":
            faults = list(self._development_values())
            if faults:
                raise ValueError("\n".join(faults))
        return self

    def _development_values(self) -> Iterator[str]:
        advice = "set a password of your own; `make secrets` writes a .env with some"
        if self.rpc.broker_url is None and _is_known(self.rabbitmq.password):
            yield f"RABBITMQ_PASSWORD: {advice}"
        for group in (self.rpc, self.database, self.celery, self.idempotency):
            for name in group.secrets():
                url = getattr(group, name)
                if url is not None and _has_known_password(url):
                    yield f"{group.variable(name)}: {advice}"
        if "*" in self.cors_origins:
            yield "CORS_ORIGINS: name the origins instead of *"
        if "*" in self.forwarded_allow_ips:
            yield "FORWARDED_ALLOW_IPS: name the proxies, as addresses or networks"
        if self.database.sql_echo:
            yield "SQL_ECHO: logs what people sent; set it to false"
        if self.log_level == "DEBUG":
            yield "LOG_LEVEL: DEBUG logs what people sent; set it to INFO"


def load_settings() -> Settings:
    """The settings of this process; ends it with a message if they are wrong."""
    return load(Settings)


def _is_known(password: SecretStr) -> bool:
    return password.get_secret_value() in DEVELOPMENT_PASSWORDS


def _has_known_password(url: SecretStr) -> bool:
    """Without any password it may be one from elsewhere, such as a pgpass file."""
    password = urlsplit(url.get_secret_value()).password
    return password is not None and unquote(password) in DEVELOPMENT_PASSWORDS


def _with_driver(url: str, driver: str) -> str:
    scheme, separator, rest = url.partition("://")
    return f"{scheme.partition('+')[0]}+{driver}{separator}{rest}"
