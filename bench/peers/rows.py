"""The rows that every peer stores for one processed request, and the HTTP models."""

import os
from collections.abc import AsyncIterator
from datetime import datetime
from typing import Annotated, Any

from fastapi import Depends
from pydantic import BaseModel
from sqlalchemy import DateTime, func, text
from sqlalchemy.ext.asyncio import async_sessionmaker, create_async_engine
from sqlmodel import JSON, Column, Field, SQLModel
from sqlmodel.ext.asyncio.session import AsyncSession

DATABASE_URL = os.environ["PEER_DATABASE_URL"]  # with asyncpg
AMQP_URL = os.environ["PEER_AMQP_URL"]

engine = create_async_engine(DATABASE_URL, pool_size=10, max_overflow=20)
new_session = async_sessionmaker(engine, class_=AsyncSession, expire_on_commit=False)


def _created_at() -> Any:
    column = Column(DateTime(timezone=True), server_default=func.now())
    return Field(default=None, sa_column=column)


class PeerRecord(SQLModel, table=True):
    """One request and its outcome."""

    id: int | None = Field(default=None, primary_key=True)
    task_id: str = Field(index=True)
    payload: Any = Field(sa_column=Column(JSON))
    description: str | None = None
    task_type: str = "string"
    task_status: str = "Success"
    outcome: Any = Field(sa_column=Column(JSON))
    created_at: datetime | None = _created_at()


class PeerLog(SQLModel, table=True):
    """The start or the end of one call."""

    id: int | None = Field(default=None, primary_key=True)
    task_id: str = Field(index=True)
    correlation_id: str
    queue_name: str = "data_queue"
    service_name: str = "data"
    task_type: str = "string"
    description: str | None = None
    status: str
    created_at: datetime | None = _created_at()


class Request(BaseModel):
    """Data to process."""

    payload: Any
    description: str | None = None


class Result(BaseModel):
    """The answer to the caller."""

    task_id: str
    task_status: str
    outcome: Any = None


async def create_tables() -> None:
    """Create the tables that are missing."""
    async with engine.begin() as connection:
        # Peers that start together would create them at the same time.
        await connection.execute(text("SELECT pg_advisory_xact_lock(1)"))
        await connection.run_sync(SQLModel.metadata.create_all)


async def session() -> AsyncIterator[AsyncSession]:
    """One session for one request."""
    async with new_session() as opened:
        yield opened


SessionDep = Annotated[AsyncSession, Depends(session)]


def log(task_id: str, status: str) -> PeerLog:
    """A log row."""
    return PeerLog(task_id=task_id, correlation_id=task_id, status=status)
