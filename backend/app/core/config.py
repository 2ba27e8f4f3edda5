"""Settings, read once from the environment (and ``.env`` in development).

Each group is a class; the comment in ``.env.example`` of each variable is its
description here. Defaults are those of ``docker-compose.yml``.
"""

from typing import Literal, Self

from pydantic import Field, SecretStr, model_validator
from pydantic_settings import BaseSettings, SettingsConfigDict

# Seconds between two attempts of a task, at the most.
LONGEST_RETRY_DELAY = 30

DEVELOPMENT_PASSWORDS = {"guest", "welcome1", "fastapi", "postgres", ""}


class Group(BaseSettings):
    """Base of the groups: the same sources for each, unknown variables ignored."""

    model_config = SettingsConfigDict(
        env_file=(".env", "../.env"), extra="ignore", frozen=True, env_ignore_empty=True
    )


class RabbitMQSettings(Group):
    """The connection to RabbitMQ."""

    model_config = SettingsConfigDict(env_prefix="RABBITMQ_")

    host: str = "rabbitmq"
    port: int = Field(5672, ge=1, le=65535)
    user: str = "guest"
    password: SecretStr = SecretStr("welcome1")
    vhost: str = "/"
    ssl: bool = Field(False, description="Connect with TLS and verify the broker.")
    ssl_ca_file: str | None = Field(
        None, description="CA certificates to trust instead of the system's."
    )
    heartbeat_seconds: int = Field(5, ge=1, description="AMQP heartbeat interval.")
    management_url: str | None = Field(
        None, description="Base URL of the management API; http://HOST:15672 if unset."
    )


class RpcSettings(Group):
    """Calls to services."""

    model_config = SettingsConfigDict(env_prefix="RPC_")

    broker_url: SecretStr | None = Field(
        None,
        description="A kombu URL that replaces RABBITMQ_*, such as redis://host/1.",
    )
    timeout_seconds: float = Field(
        30, gt=0, description="Deadline of a call, from request to answer."
    )
    max_in_flight: int = Field(
        500, ge=1, description="Calls that one process may wait for at a time."
    )


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
    task_soft_time_limit_seconds: int = Field(
        60, ge=1, description="A task that runs longer is interrupted and retried."
    )
    task_time_limit_seconds: int = Field(
        75, ge=1, description="A task that runs longer is killed, and has failed."
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
        None, description="A file that the worker touches every second while it works."
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


class Settings(Group):
    """Everything one process needs to know. Build it once, pass it down."""

    environment: Literal["development", "test", "production"] = "development"
    log_level: Literal["DEBUG", "INFO", "WARNING", "ERROR"] = "INFO"
    api_host: str = "0.0.0.0"  # nosec: containers are reached from outside
    api_port: int = Field(8000, ge=1, le=65535)
    web_concurrency: int = Field(1, ge=1, description="Number of API processes.")
    max_body_bytes: int = Field(1024 * 1024, ge=1)
    docs_enabled: bool = True
    cors_origins: list[str] = Field(
        [],
        description='JSON list of origins that browsers may call from: ["https://x"]',
    )
    forwarded_allow_ips: str = Field(
        "127.0.0.1", description="Proxies whose X-Forwarded-* headers are believed."
    )
    data_queue_name: str = "data_queue"

    rabbitmq: RabbitMQSettings = Field(default_factory=RabbitMQSettings)
    rpc: RpcSettings = Field(default_factory=RpcSettings)
    database: DatabaseSettings = Field(default_factory=DatabaseSettings)
    celery: CelerySettings = Field(default_factory=CelerySettings)

    @model_validator(mode="after")
    def refuse_development_values_in_production(self) -> Self:
        """A password that is printed in a README must not reach production."""
        if self.environment == "production":
            if self.rabbitmq.password.get_secret_value() in DEVELOPMENT_PASSWORDS:
                raise ValueError("RABBITMQ_PASSWORD: set a password of your own")
            if "*" in self.cors_origins:
                raise ValueError("CORS_ORIGINS: name the origins instead of *")
        return self


def _with_driver(url: str, driver: str) -> str:
    scheme, separator, rest = url.partition("://")
    return f"{scheme.partition('+')[0]}+{driver}{separator}{rest}"
