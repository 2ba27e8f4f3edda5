"""The columns that code writes, derived from the models."""

from sqlmodel import SQLModel


def written_columns(model: type[SQLModel], *by_database: str) -> tuple[str, ...]:
    """All columns except the id and those that the database fills."""
    table = model.__table__  # type: ignore[attr-defined]
    return tuple(name for name in table.c.keys() if name not in ("id", *by_database))
