"""Columns that tables have alike."""

from typing import Any

from sqlalchemy import BigInteger, DateTime, func
from sqlmodel import Column, Field


def id_column() -> Any:
    """The key of a row."""
    return Field(default=None, sa_column=Column(BigInteger, primary_key=True))


def timestamp_column(**column: Any) -> Any:
    """A time, by default that of the insertion."""
    kind = DateTime(timezone=True)
    now = Column(kind, server_default=func.now(), nullable=False, **column)
    return Field(default=None, sa_column=now)
