"""Speci mens: the table, and the models of the API."""

from datetime import datetime
from typing import Annotated

from pydantic import BaseModel, ConfigDict, Field
from sqlalchemy import Index, func
from sqlmodel import Field as TableField
from sqlmodel import SQLModel

from app.models.columns import id_column, owner_column, timestamp_column
from app.models.schemas import example

SpecimenTitle = Annotated[str, Field(min_length=1, max_length=200)]
SpecimenNote = Annotated[str | None, Field(max_length=10_000)]


class Specimen(SQLModel, table=True):
    """A row of the table."""

    __tablename__ = "specimens"
    __table_args__ = (Index("ix_specimens_owner", "owner", "id"),)

    id: int | None = id_column()
    owner: str | None = owner_column()
    title: str = TableField(max_length=200)
    note: str | None = None
    created_at: datetime | None = timestamp_column()
    updated_at: datetime | None = timestamp_column(onupdate=func.now())


class SpecimenContent(BaseModel):
    """The fields that a client may set."""

    model_config = ConfigDict(extra="forbid") | example(
        title="The first", note="A note"
    )

    title: SpecimenTitle
    note: SpecimenNote = None


class SpecimenRead(BaseModel):
    """The fields that a client sees."""

    model_config = ConfigDict(from_attributes=True) | example(
        id=1,
        title="The first",
        note="A note",
        created_at="2026-01-01T12:00:00Z",
        updated_at="2026-01-01T12:00:00Z",
    )

    id: int
    title: str
    note: str | None
    created_at: datetime
    updated_at: datetime
