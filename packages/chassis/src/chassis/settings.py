"""The settings that every process has."""

from pathlib import Path
from typing import Literal

from pydantic import Field, SecretStr, field_validator
from pydantic_settings import SettingsConfigDict

from chassis.environment import Group

BROKERS = ("amqp://", "amqps://", "redis://", "rediss://")


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

    @field_validator("broker_url")
    @classmethod
    def _names_a_broker(cls, url: SecretStr | None) -> SecretStr | None:
        if url and not url.get_secret_value().startswith(BROKERS):
            raise ValueError(f"must begin with {', '.join(BROKERS)}")
        return url


class ProcessSettings(Group):
    """What every kind of process has, besides its connections."""

    environment: Literal["development", "test", "production"] = "development"
    log_level: Literal["DEBUG", "INFO", "WARNING", "ERROR"] = "INFO"
    log_format: Literal["json", "text"] | None = Field(
        None, description="Text at a terminal and JSON elsewhere if unset."
    )

    max_json_values: int = Field(
        50_000, ge=1, description="Values that the JSON of one request may have."
    )

    rabbitmq: RabbitMQSettings = Field(default_factory=RabbitMQSettings)
    rpc: RpcSettings = Field(default_factory=RpcSettings)


class ServiceSettings(ProcessSettings):
    """One process of a service. A service's own settings are a subclass."""

    queue_name: str | None = Field(
        None, description="The queue to serve; that of the service's name if unset."
    )
    service_name: str | None = Field(
        None, description="What spans, log lines and RabbitMQ call it."
    )
    concurrency: int = Field(32, ge=1, description="Requests handled side by side.")
    max_unsettled_bytes: int = Field(
        4 * 1024 * 1024,
        ge=1,
        description="Bytes of requests after which a process fetches no more.",
    )
    max_result_bytes: int = Field(
        4 * 1024 * 1024, ge=1, description="Longer answers are refused."
    )
    shutdown_grace_seconds: float = Field(
        25, ge=0, description="Time for running requests when the service is stopped."
    )
    heartbeat_file: Path | None = Field(
        None, description="A file that is touched every second while it works."
    )
