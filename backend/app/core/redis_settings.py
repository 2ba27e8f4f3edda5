"""The settings of what lives in Redis: Celery's tasks, and idempotency keys."""

import re
from typing import Literal, Self

from pydantic import Field, SecretStr, field_validator, model_validator
from pydantic_settings import SettingsConfigDict

from chassis.environment import Group
from chassis.settings import valid_redis_url

# Longest delay between two attempts of a task, in seconds.
LONGEST_RETRY_DELAY = 30


class CelerySettings(Group):
    """Celery. ``docs/TASKS.md`` shows how the timeouts relate."""

    model_config = SettingsConfigDict(env_prefix="CELERY_")

    broker_url: SecretStr = Field(
        SecretStr("redis://:welcome1@redis:6379/0"), description="Redis for tasks"
    )
    result_backend: SecretStr = Field(
        SecretStr("redis://:welcome1@redis:6379/0"), description="Redis for task states"
    )
    key_prefix: str = Field(
        "",
        description="Begins the names of all keys, also of idempotency keys, so that "
        "two systems can share one database of Redis: shop:",
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

    _urls = field_validator("broker_url", "result_backend")(valid_redis_url)

    @field_validator("key_prefix")
    @classmethod
    def end_with_a_separator(cls, prefix: str) -> str:
        """Celery would add one for its own keys alone."""
        if not re.fullmatch(r"([\w.:-]*[:_.-])?", prefix, re.ASCII):
            raise ValueError(
                "use letters, digits and : _ . - and end with one of these signs, such "
                "as shop:"
            )
        return prefix

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

    @field_validator("redis_url")
    @classmethod
    def name_a_redis(cls, url: SecretStr | None) -> SecretStr | None:
        """Refuse at the start what no client could use."""
        return url and valid_redis_url(url)
