"""The settings that every process has."""

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Literal, Self

from pydantic import Field, SecretStr, field_validator, model_validator
from pydantic_settings import SettingsConfigDict

from chassis import redis_url
from chassis.amqp_url import (
    SCHEMES,
    TLS_PORT,
    check_certificates,
    check_readable,
    parse_hosts,
    parse_url,
)
from chassis.environment import Group
from chassis.passwords import is_known_secret
from chassis.rabbitmq import check_management_url

BROKERS = (*SCHEMES, *(f"{scheme}://" for scheme in redis_url.SCHEMES))


def valid_redis_url(url: SecretStr) -> SecretStr:
    """For validators: the URL of a Redis. Raises ValueError if nobody can use it."""
    redis_url.RedisUrl.read(url.get_secret_value()).check_files()
    return url


def valid_key_prefix(prefix: str) -> str:
    """For validators: what begins the names of keys. Raises ValueError without a sign
    at its end: Celery would add one for its own keys alone."""
    if not re.fullmatch(r"([\w.:-]*[:_.-])?", prefix, re.ASCII):
        raise ValueError(
            "use letters, digits and : _ . - and end with one of these signs, such as "
            "shop:"
        )
    return prefix


class RabbitMQSettings(Group):
    """RabbitMQ (API, worker, services)."""

    model_config = SettingsConfigDict(env_prefix="RABBITMQ_")

    host: str = Field(
        "rabbitmq",
        description="RabbitMQ's host name or address; of a cluster all, as a,b:5673",
    )
    port: int = Field(
        5672,
        ge=1,
        le=65535,
        description="Its port; if unset, 5671 with RABBITMQ_SSL",
    )
    user: str = Field("guest", description="The user to log in as")
    password: SecretStr = Field(SecretStr("welcome1"), description="Its password")
    vhost: str = Field("/", description="The virtual host")
    ssl: bool = Field(
        False,
        description="Connect with TLS and verify the broker with the system's CAs or "
        "those of a file",
    )
    ssl_ca_file: str | None = Field(
        None, description="CA certificates to trust instead of the system's"
    )
    ssl_cert_file: str | None = Field(
        None, description="A client certificate, if the broker asks for one"
    )
    ssl_key_file: str | None = Field(
        None, description="Its key, if that is in another file"
    )
    heartbeat_seconds: int = Field(
        5, ge=1, description="AMQP heartbeat interval, in seconds"
    )
    management_url: str | None = Field(
        None,
        description="Base URL of the management API; http://RABBITMQ_HOST:15672 if "
        "unset, with TLS https://RABBITMQ_HOST:15671",
    )

    monitoring_user: str | None = Field(
        None,
        description="The user of the management API, with the tag `monitoring` "
        "(API, beat); RABBITMQ_USER if unset",
    )
    monitoring_password: SecretStr | None = Field(None, description="Its password")

    @field_validator("host")
    @classmethod
    def _names_hosts(cls, host: str) -> str:
        parse_hosts(host, TLS_PORT)
        return host

    @field_validator("ssl_ca_file", "ssl_cert_file", "ssl_key_file")
    @classmethod
    def _is_readable(cls, path: str | None) -> str | None:
        if path:
            check_readable(path)
        return path

    @field_validator("management_url")
    @classmethod
    def _is_base_url(cls, url: str | None) -> str | None:
        return check_management_url(url) if url else url

    @model_validator(mode="after")
    def _certificates_fit(self) -> Self:
        try:
            check_certificates(self.ssl_ca_file, self.ssl_cert_file, self.ssl_key_file)
        except ValueError as error:
            raise ValueError(f"RABBITMQ_SSL_*_FILE: {error}") from None
        return self


class RpcSettings(Group):
    """Calls to services."""

    model_config = SettingsConfigDict(env_prefix="RPC_")

    broker_url: SecretStr | None = Field(
        None,
        description="A URL that replaces RABBITMQ_*, such as "
        "amqps://user:password@a,b/vhost or redis://host:6379/1",
    )
    key_prefix: str = Field(
        "",
        description="Begins the names of the keys of calls over Redis, so that two "
        "systems can share one database: shop:",
    )
    timeout_seconds: float = Field(
        30, gt=0, description="Deadline of a call, from request to answer, in seconds"
    )
    max_in_flight: int = Field(
        500,
        ge=1,
        description="Calls that one process may have in flight; more are answered "
        "503",
    )

    _prefix = field_validator("key_prefix")(valid_key_prefix)

    @field_validator("broker_url")
    @classmethod
    def _names_a_broker(cls, url: SecretStr | None) -> SecretStr | None:
        if url is None:
            return url
        text = url.get_secret_value()
        if not text.lower().startswith(BROKERS):
            raise ValueError(f"must begin with {', '.join(BROKERS)}")
        if not text.lower().startswith(SCHEMES):
            return valid_redis_url(url)
        parse_url(text)
        return url


class EventSettings(Group):
    """Events."""

    model_config = SettingsConfigDict(env_prefix="EVENTS_")

    exchange: str = Field(
        "events",
        min_length=1,
        description="The topic exchange of RabbitMQ to which the relay publishes "
        "events (relay, API, services)",
    )


class ReceivedEventSettings(EventSettings):
    """Events (services)."""

    # Not checked here: that needs psycopg2, which only services with such handlers
    # have.
    database_url: SecretStr | None = Field(
        None,
        description="URL of the database in which a service that receives events "
        "works, in a schema of the service's name",
    )


class ProcessSettings(Group):
    """Settings of every kind of process, besides its connections."""

    environment: Literal["development", "test", "production"] = Field(
        "development",
        description="production refuses the default passwords of this file",
    )
    log_level: Literal["DEBUG", "INFO", "WARNING", "ERROR"] = Field(
        "INFO",
        description="Lowest level of log lines; WARNING leaves out the line of each "
        "request",
    )
    log_format: Literal["json", "text"] | None = Field(
        None,
        description="json or text; if unset, text at a terminal and JSON elsewhere",
    )

    max_json_values: int = Field(
        50_000, ge=1, description="Most values that the JSON of a request may have"
    )

    rabbitmq: RabbitMQSettings = Field(default_factory=RabbitMQSettings)
    rpc: RpcSettings = Field(default_factory=RpcSettings)
    events: EventSettings = Field(default_factory=EventSettings)

    @model_validator(mode="after")
    def refuse_development_values_in_production(self) -> Self:
        """A password printed in a README must not reach production."""
        if self.environment == "production":
            faults = list(self.development_values())
            if faults:
                raise ValueError("\n".join(faults))
        return self

    def development_values(self) -> Iterator[str]:
        """A sentence for each value that production refuses; subclasses add theirs."""
        groups: list[Group] = [self]
        for name in type(self).model_fields:
            if isinstance(group := getattr(self, name), Group):
                groups.append(group)
        for group in groups:
            for name in group.secrets():
                if group is self.rabbitmq and self.rpc.broker_url:
                    continue  # the URL replaces it
                value = getattr(group, name)
                if value is not None and is_known_secret(value):
                    yield (
                        f"{group.variable(name)}: set your own password; `make "
                        "secrets` adds random ones to .env"
                    )


class ServiceSettings(ProcessSettings):
    """Services. Settings of one process; subclass this for a service's own settings."""

    events: ReceivedEventSettings = Field(default_factory=ReceivedEventSettings)

    queue_name: str | None = Field(
        None,
        description="The queue that a service consumes. API and worker take its name "
        "from backend/app/core/services.py, or from a variable such as "
        "DATA_QUEUE_NAME",
    )
    service_name: str | None = Field(
        None, description="The service's name in logs, spans and RabbitMQ"
    )
    concurrency: int = Field(
        32, ge=1, description="Threads that handle requests in one process"
    )
    max_unsettled_bytes: int = Field(
        4 * 1024 * 1024,
        ge=1,
        description="A service fetches no more requests while it holds this many bytes",
    )
    max_result_bytes: int = Field(
        4 * 1024 * 1024,
        ge=1,
        description="Longest answer of a service, in bytes; a longer one is refused",
    )
    shutdown_grace_seconds: float = Field(
        25,
        ge=0,
        description="How long a stopping service waits for running handlers, in "
        "seconds",
    )
    heartbeat_file: Path | None = Field(
        None,
        description="The file that the service touches every second while it works, "
        "for probes",
    )
