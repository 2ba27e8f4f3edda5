"""The two tables."""

from datetime import datetime
from typing import Any

from sqlalchemy import Index, func, text
from sqlmodel import JSON, Column, Field, SQLModel

from app.models.columns import id_column, timestamp_column


class DataProcessingRecord(SQLModel, table=True):
    """One request to process data, and its outcome.

    ``payload`` and ``outcome`` are ``json``, not ``jsonb``: PostgreSQL keeps the
    original text (order of keys, spelling of numbers). ``priority`` is set for accepted
    work; the sweep uses it. ``traceparent`` and ``correlation_id`` are those of the
    request, and of the record's events. ``queue_name`` is the queue of the
    service. NULL means a row older than the column: the service is then the one named
    ``data``. ``owner`` is the subject of the token that made the request; NULL without
    authentication.
    """

    __tablename__ = "data_processing_records"
    __table_args__ = (
        # For the sweep. It contains only work in progress, so it stays small.
        Index(
            "ix_records_processing",
            "updated_at",
            postgresql_where=text("task_status = 'Processing'"),
        ),
        # One index per filter of the list, in the list's order.
        Index("ix_records_task_status", "task_status", "id"),
        Index("ix_records_task_type", "task_type", "id"),
        Index("ix_records_queue_name", "queue_name", "id"),
        Index("ix_records_owner", "owner", "id"),
        # For pruning: it costs an insert almost nothing.
        Index("ix_records_created_at", "created_at", postgresql_using="brin"),
    )

    id: int | None = id_column()
    task_id: str = Field(unique=True, max_length=64)
    queue_name: str | None = None
    owner: str | None = Field(default=None, max_length=255)
    payload: Any = Field(default=None, sa_column=Column(JSON(none_as_null=False)))
    description: str | None = None
    task_type: str | None = None
    task_status: str
    outcome: Any = Field(default=None, sa_column=Column(JSON(none_as_null=True)))
    priority: str | None = None
    traceparent: str | None = Field(default=None, max_length=64)
    correlation_id: str | None = Field(default=None, max_length=128)
    created_at: datetime | None = timestamp_column()
    updated_at: datetime | None = timestamp_column(onupdate=func.now())


class TaskLog(SQLModel, table=True):
    """The start or end of one call to a service."""

    __tablename__ = "task_logs"
    __table_args__ = (
        Index("ix_task_logs_task_id", "task_id"),
        Index("ix_task_logs_correlation_id", "correlation_id"),
        Index("ix_task_logs_queue_name", "queue_name", "id"),
        Index("ix_task_logs_service_name", "service_name", "id"),
        Index("ix_task_logs_status", "status", "id"),
        Index("ix_task_logs_owner", "owner", "id"),
        # For pruning: it costs an insert almost nothing.
        Index("ix_task_logs_created_at", "created_at", postgresql_using="brin"),
    )

    id: int | None = id_column()
    task_id: str = Field(max_length=64)
    correlation_id: str = Field(max_length=128)
    queue_name: str
    service_name: str
    owner: str | None = Field(default=None, max_length=255)
    task_type: str | None = None
    description: str | None = None
    status: str
    created_at: datetime | None = timestamp_column()
