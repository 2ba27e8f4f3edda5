"""Columns that several tables share."""

from typing import Any

from sqlalchemy import BigInteger, DateTime, func
from sqlmodel import Column, Field

from chassis.context import current_principal


def id_column() -> Any:
    """The primary key."""
    return Field(default=None, sa_column=Column(BigInteger, primary_key=True))


def owner_column() -> Any:
    """The subject of the caller who creates the row; NULL without authentication."""
    return Field(default_factory=current_principal.get, max_length=255)


def timestamp_column(**column: Any) -> Any:
    """A timestamp; by default the time of the insert."""
    kind = DateTime(timezone=True)
    now = Column(kind, server_default=func.now(), nullable=False, **column)
    return Field(default=None, sa_column=now)
