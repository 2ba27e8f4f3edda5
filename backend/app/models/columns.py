"""Columns that several tables share."""

from typing import Any

from sqlalchemy import BigInteger, DateTime, func
from sqlmodel import Column, Field


def id_column() -> Any:
    """The primary key."""
    return Field(default=None, sa_column=Column(BigInteger, primary_key=True))


def timestamp_column(**column: Any) -> Any:
    """A timestamp; by default the time of the insert."""
    kind = DateTime(timezone=True)
    now = Column(kind, server_default=func.now(), nullable=False, **column)
    return Field(default=None, sa_column=now)
