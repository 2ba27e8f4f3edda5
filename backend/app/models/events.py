"""The event log, and how far the relay has published it."""

from datetime import datetime
from typing import Any
from uuid import UUID

from sqlalchemy import BigInteger, Index, Uuid, text
from sqlmodel import JSON, Column, Field, SQLModel

from app.models.columns import id_column, timestamp_column


class RecordEvent(SQLModel, table=True):
    """What happened to a record, or another subject.

    PostgreSQL itself adds the events of records: see the migration of the event log.
    Rows are never changed; deleting a record redacts payload and outcome in its events.
    """

    __tablename__ = "record_events"
    __table_args__ = (
        # One per filter, in the order in which events are read. A subject has few.
        Index("ix_record_events_subject", "subject", "sequence"),
        Index("ix_record_events_owner", "owner", "sequence"),
        Index("ix_record_events_owner_type", "owner", "type", "sequence"),
        Index("ix_record_events_type", "type", "sequence"),
        # For pruning: it costs an insert almost nothing.
        Index("ix_record_events_time", "time", postgresql_using="brin"),
    )

    sequence: int | None = Field(
        default=None,
        sa_column=Column(
            BigInteger,
            primary_key=True,
            autoincrement=False,
            server_default=text("next_event_sequence()"),
        ),
    )
    event_id: UUID | None = Field(
        default=None,
        sa_column=Column(
            Uuid, server_default=text("gen_random_uuid()"), nullable=False
        ),
    )
    type: str = Field(max_length=64)
    subject: str = Field(max_length=64)
    owner: str | None = Field(default=None, max_length=255)
    actor: str | None = Field(default=None, max_length=255)
    correlation_id: str | None = Field(default=None, max_length=128)
    traceparent: str | None = Field(default=None, max_length=64)
    time: datetime | None = timestamp_column()
    data: Any = Field(sa_column=Column(JSON, nullable=False))


class EventRelay(SQLModel, table=True):
    """The one row that says up to which sequence events are published."""

    __tablename__ = "event_relay"

    id: int | None = id_column()
    position: int = Field(sa_column=Column(BigInteger, nullable=False))
