"""Webhooks: the tables, and the models of the API."""

from base64 import b64decode
from datetime import datetime
from typing import Annotated, Literal
from uuid import UUID

from pydantic import (
    AfterValidator,
    BaseModel,
    ConfigDict,
    Field,
    SecretStr,
    StringConstraints,
)
from sqlalchemy import BigInteger, DateTime, ForeignKey, Index, Uuid, func, text
from sqlmodel import JSON, Column
from sqlmodel import Field as TableField
from sqlmodel import SQLModel

from app.core.webhook_targets import MAX_URL_LENGTH
from app.models.columns import id_column, owner_column, timestamp_column
from app.models.schemas import example

#: Types or patterns of one webhook.
MAX_TYPES = 20

# A type of events; * stands for one word, as in RabbitMQ's topics.
TYPE_PATTERN = r"^([a-z][a-z0-9_]*|\*)(\.([a-z0-9_]+|\*))+$"
#: 24 to 64 bytes in base64, as Standard Webhooks has it.
SECRET_PATTERN = r"^whsec_[A-Za-z0-9+/]{32,86}={0,2}$"  # nosec: this is no password
MIN_SECRET_BYTES, MAX_SECRET_BYTES = 24, 64


def _moment() -> "Column[datetime]":
    return Column(DateTime(timezone=True))


class Webhook(SQLModel, table=True):
    """A URL that gets events.

    ``events_of`` is the owner whose events it gets; NULL for everybody's. ``position``
    is the sequence of the last event of which the worker knows; those after it wait in
    the event log. A worker that sends holds a lease. ``failures`` counts attempts since
    the receiver last answered; until ``resume_at`` nobody tries again.
    """

    __tablename__ = "webhooks"
    __table_args__ = (Index("ix_webhooks_owner", "owner", "id"),)

    id: int | None = id_column()
    owner: str | None = owner_column()
    events_of: str | None = TableField(default=None, max_length=255)
    # Neither is in its `repr`: some URLs are secrets, too.
    url: str = TableField(max_length=MAX_URL_LENGTH, repr=False)
    host: str = TableField(max_length=255)
    types: list[str] = TableField(sa_column=Column(JSON, nullable=False))
    secret: str = TableField(repr=False)
    previous_secret: str | None = TableField(default=None, repr=False)
    previous_secret_until: datetime | None = TableField(
        default=None, sa_column=_moment()
    )
    position: int = TableField(sa_column=Column(BigInteger, nullable=False))
    disabled_at: datetime | None = TableField(default=None, sa_column=_moment())
    disabled_reason: str | None = None
    failing_since: datetime | None = TableField(default=None, sa_column=_moment())
    failures: int = TableField(
        default=0, sa_column_kwargs={"server_default": text("0")}
    )
    resume_at: datetime | None = timestamp_column()
    leased_by: UUID | None = TableField(default=None, sa_column=Column(Uuid))
    leased_until: datetime | None = TableField(default=None, sa_column=_moment())
    created_at: datetime | None = timestamp_column()


class WebhookDelivery(SQLModel, table=True):
    """One event for one webhook. The event itself stays in the log, so deleting a
    record also redacts what is still to be sent. ``next_attempt_at`` is NULL once it
    has ended."""

    __tablename__ = "webhook_deliveries"
    __table_args__ = (
        Index("ix_webhook_deliveries_webhook_id", "webhook_id", "id"),
        Index("ix_webhook_deliveries_event", "webhook_id", "sequence", unique=True),
        Index(
            "ix_webhook_deliveries_pending",
            "webhook_id",
            "next_attempt_at",
            postgresql_where=text("status = 'pending'"),
        ),
        # For pruning: it costs an insert almost nothing.
        Index(
            "ix_webhook_deliveries_created_at", "created_at", postgresql_using="brin"
        ),
    )

    id: int | None = id_column()
    webhook_id: int = TableField(
        sa_column=Column(
            BigInteger, ForeignKey("webhooks.id", ondelete="CASCADE"), nullable=False
        )
    )
    sequence: int = TableField(sa_column=Column(BigInteger, nullable=False))
    event_id: UUID = TableField(sa_column=Column(Uuid, nullable=False))
    type: str = TableField(max_length=64)
    status: str = TableField(default="pending", max_length=16)
    attempts: int = TableField(
        default=0, sa_column_kwargs={"server_default": text("0")}
    )
    first_attempt_at: datetime | None = TableField(default=None, sa_column=_moment())
    last_attempt_at: datetime | None = TableField(default=None, sa_column=_moment())
    next_attempt_at: datetime | None = TableField(
        None, sa_column=Column(DateTime(timezone=True), server_default=func.now())
    )
    last_status: int | None = None
    last_error: str | None = None
    created_at: datetime | None = timestamp_column()


def _check_secret(secret: SecretStr) -> SecretStr:
    text = secret.get_secret_value().removeprefix("whsec_")
    try:
        size = len(b64decode(text, validate=True))
    except ValueError:
        size = 0
    is_complete = text != secret.get_secret_value()
    if not (is_complete and MIN_SECRET_BYTES <= size <= MAX_SECRET_BYTES):
        raise ValueError("write whsec_ and 24 to 64 random bytes in base64")
    return secret


def _different(types: list[str]) -> list[str]:
    return list(dict.fromkeys(types))


TypePattern = Annotated[str, StringConstraints(pattern=TYPE_PATTERN, max_length=64)]
TypePatterns = Annotated[
    list[TypePattern],
    Field(
        min_length=1,
        max_length=MAX_TYPES,
        description="Types of events. `*` stands for one word: `record.*`.",
    ),
    AfterValidator(_different),
]
WebhookUrl = Annotated[
    str,
    Field(
        min_length=1,
        max_length=MAX_URL_LENGTH,
        description="Where to send events, with POST. Its host must have public "
        "addresses.",
    ),
]
WebhookSecret = Annotated[
    SecretStr,
    AfterValidator(_check_secret),
    Field(
        json_schema_extra={"pattern": SECRET_PATTERN},
        description="`whsec_` and 24 to 64 random bytes in base64. It signs the "
        "requests.",
    ),
]


class WebhookCreate(BaseModel):
    """A new webhook."""

    model_config = ConfigDict(extra="forbid") | example(
        url="https://example.com/hooks/records", types=["record.*"]
    )

    url: WebhookUrl
    types: TypePatterns
    secret: WebhookSecret | None = Field(
        None, description="A random one if missing; only this response shows it."
    )


class WebhookChange(BaseModel):
    """What to change; missing fields stay."""

    model_config = ConfigDict(extra="forbid") | example(
        types=["record.succeeded", "record.failed"], enabled=True
    )

    url: WebhookUrl | None = None
    types: TypePatterns | None = None
    secret: WebhookSecret | None = Field(
        None, description="A new one. For 24 hours, the old one signs too."
    )
    enabled: bool | None = Field(
        None,
        description="`false` pauses it. `true` continues with the first event that it "
        "has not had.",
    )


class WebhookRead(BaseModel):
    """A webhook."""

    model_config = ConfigDict(from_attributes=True) | example(
        id=1,
        owner="alice",
        url="https://example.com/hooks/records",
        types=["record.*"],
        created_at="2026-01-01T12:00:00Z",
        failing_since="2026-01-03T12:00:00Z",
        disabled_at="2026-01-04T12:00:00Z",
        disabled_reason="Every attempt failed for 24 hours.",
    )

    id: int
    owner: str | None
    url: str
    types: list[str]
    created_at: datetime
    failing_since: datetime | None = Field(
        None, description="The first failure since the last success."
    )
    disabled_at: datetime | None = Field(None, description="Null while it is enabled.")
    disabled_reason: str | None = None


class WebhookCreated(WebhookRead):
    """A new webhook, with its secret."""

    model_config = ConfigDict(from_attributes=True) | example(
        id=1,
        owner="alice",
        url="https://example.com/hooks/records",
        types=["record.*"],
        created_at="2026-01-01T12:00:00Z",
        secret="whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw",
    )

    secret: str | None = Field(
        repr=False,
        description="Shown this once; null when an idempotency key repeats the "
        "response.",
    )


class DeliveryRead(BaseModel):
    """One event for one webhook."""

    model_config = ConfigDict(from_attributes=True) | example(
        id=7,
        event_id="4f214618-ff05-47bd-b7b7-0c3270b8de88",
        type="record.succeeded",
        status="pending",
        attempts=2,
        last_status=500,
        last_error="The receiver answered 500.",
        created_at="2026-01-01T12:00:00Z",
        last_attempt_at="2026-01-01T12:00:06Z",
        next_attempt_at="2026-01-01T12:00:16Z",
    )

    id: int
    event_id: UUID = Field(description="The `webhook-id` of its requests.")
    type: str
    status: Literal["pending", "delivered", "failed"]
    attempts: int
    last_status: int | None = Field(
        description="Status code of the last answer; null if there was none."
    )
    last_error: str | None = Field(description="Why the last attempt failed.")
    created_at: datetime
    last_attempt_at: datetime | None
    next_attempt_at: datetime | None = Field(
        description="When the next attempt is due; null once it has ended."
    )


class Redelivery(BaseModel):
    """What will be sent again."""

    model_config = example(deliveries=3)

    deliveries: int = Field(description="Failed deliveries that are pending again.")
