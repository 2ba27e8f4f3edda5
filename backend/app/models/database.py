"""The two tables."""

from datetime import datetime
from typing import Any

from sqlalchemy import Index, func, text
from sqlmodel import JSON, Column, Field, SQLModel

from app.models.columns import id_column, timestamp_column


class DataProcessingRecord(SQLModel, table=True):
    """One request to process data, and what came of it.

    ``payload`` and ``outcome`` are ``json``, not ``jsonb``: the text is kept as it
    came (order of keys, spelling of numbers). ``priority`` and ``traceparent`` are
    those of accepted work, for the sweep. ``queue_name`` is the queue of its service;
    without one it is older than the column, and the service is the one named ``data``.
    """

    __tablename__ = "data_processing_records"
    __table_args__ = (
        # For the sweep: holds only what is under way, so it stays small.
        Index(
            "ix_records_processing",
            "updated_at",
            postgresql_where=text("task_status = 'Processing'"),
        ),
        # For each filter of the list, in its order.
        Index("ix_records_task_status", "task_status", "id"),
        Index("ix_records_task_type", "task_type", "id"),
        Index("ix_records_queue_name", "queue_name", "id"),
        # For pruning: costs an insert next to nothing.
        Index("ix_records_created_at", "created_at", postgresql_using="brin"),
    )

    id: int | None = id_column()
    task_id: str = Field(unique=True, max_length=64)
    queue_name: str | None = None
    payload: Any = Field(default=None, sa_column=Column(JSON(none_as_null=False)))
    description: str | None = None
    task_type: str | None = None
    task_status: str
    outcome: Any = Field(default=None, sa_column=Column(JSON(none_as_null=True)))
    priority: str | None = None
    traceparent: str | None = Field(default=None, max_length=64)
    created_at: datetime | None = timestamp_column()
    updated_at: datetime | None = timestamp_column(onupdate=func.now())


class TaskLog(SQLModel, table=True):
    """The start or the end of one call to a service."""

    __tablename__ = "task_logs"
    __table_args__ = (
        Index("ix_task_logs_task_id", "task_id"),
        Index("ix_task_logs_correlation_id", "correlation_id"),
        Index("ix_task_logs_queue_name", "queue_name", "id"),
        Index("ix_task_logs_service_name", "service_name", "id"),
        Index("ix_task_logs_status", "status", "id"),
        # For pruning: costs an insert next to nothing.
        Index("ix_task_logs_created_at", "created_at", postgresql_using="brin"),
    )

    id: int | None = id_column()
    task_id: str = Field(max_length=64)
    correlation_id: str = Field(max_length=128)
    queue_name: str
    service_name: str
    task_type: str | None = None
    description: str | None = None
    status: str
    created_at: datetime | None = timestamp_column()
