"""The columns that code writes, taken from the models."""

from sqlmodel import SQLModel


def written_columns(model: type[SQLModel], *by_database: str) -> tuple[str, ...]:
    """All but the id, and those that are left to the database."""
    table = model.__table__  # type: ignore[attr-defined]
    return tuple(name for name in table.c.keys() if name not in ("id", *by_database))
