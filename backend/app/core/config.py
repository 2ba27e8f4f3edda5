"""Settings, read once from the environment, ``.env`` and secret files.

Each group is a class. ``.env.example`` takes each variable's comment from its
description here. The defaults are those of ``docker-compose.yml``.
"""

import re
from collections.abc import Iterator
from dataclasses import replace
from functools import cached_property
from typing import Annotated, Any, Self, cast

from pydantic import AfterValidator, Field, create_model, model_validator

from app.core.auth_settings import AuthSettings
from app.core.browser_settings import CorsSettings, check_proxies
from app.core.database_settings import DatabaseSettings, MigrationSettings
from app.core.event_settings import EventLogSettings
from app.core.rate_limit_settings import RateLimitSettings
from app.core.redis_settings import CelerySettings, IdempotencySettings
from app.core.services import SERVICES, ServiceRegistry
from app.core.tls_settings import ApiTlsSettings
from app.core.webhook_settings import WebhookSettings
from chassis.environment import Group, load
from chassis.settings import ProcessSettings

QueueNames = create_model(
    "QueueNames",
    __base__=Group,
    **cast(Any, {f"{each.name}_queue_name": (str, each.queue) for each in SERVICES}),
)


def _plain_host(host: str) -> str:
    """Also as URLs write it, `[::]`. Raises ValueError for an URL or a port."""
    plain = host.strip().removeprefix("[").removesuffix("]")
    if not plain or re.search(r"[/@\s\[\]]|^[^:]*:[^:]*$", plain):
        raise ValueError("give an address or a name without port, such as 0.0.0.0")
    return plain


class Settings(ProcessSettings):
    """API and worker. Create it once per process and pass it down."""

    # nosec: containers are reached from outside
    api_host: Annotated[str, AfterValidator(_plain_host)] = Field(
        "0.0.0.0",  # nosec
        description="Address that the API listens on; `::` is IPv6 and IPv4",
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
    forwarded_allow_ips: Annotated[str, AfterValidator(check_proxies)] = Field(
        "127.0.0.1",
        description="Proxies whose X-Forwarded-* headers are trusted: addresses and "
        "networks",
    )
    trust_sampled_flag: bool = Field(
        True,
        description="Keep the traces that clients mark as sampled; if false, "
        "OTEL_TRACES_SAMPLER alone decides",
    )
    tls: ApiTlsSettings = Field(default_factory=ApiTlsSettings)
    auth: AuthSettings = Field(default_factory=AuthSettings)
    cors: CorsSettings = Field(default_factory=CorsSettings)
    database: DatabaseSettings = Field(default_factory=DatabaseSettings)
    migrations: MigrationSettings = Field(default_factory=MigrationSettings)
    celery: CelerySettings = Field(default_factory=CelerySettings)
    events: EventLogSettings = Field(default_factory=EventLogSettings)
    webhooks: WebhookSettings = Field(default_factory=WebhookSettings)
    idempotency: IdempotencySettings = Field(default_factory=IdempotencySettings)
    rate_limits: RateLimitSettings = Field(default_factory=RateLimitSettings)
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

    @property
    def allows_http_webhooks(self) -> bool:
        """WEBHOOKS_ALLOW_HTTP; if unset, in development alone."""
        if self.webhooks.allow_http is None:
            return self.environment == "development"
        return self.webhooks.allow_http

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

    def development_values(self) -> Iterator[str]:
        """Also what lets everybody in, or shows what clients send."""
        yield from super().development_values()
        if not self.auth.issuer and not self.auth.disabled:
            yield (
                "AUTH_ISSUER: name your identity provider; or set AUTH_DISABLED=true "
                "if everybody may do everything"
            )
        if "*" in self.cors.origins:
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
