"""Inserts rows into several tables in one statement: one round trip, all or nothing.

Each column is sent as one array, so the statement is the same for any number of rows,
and PostgreSQL plans it once.
"""

from collections.abc import Callable, Iterable, Mapping, Sequence
from functools import lru_cache
from typing import Any

from sqlalchemy import JSON, Column, Dialect, Table
from sqlmodel import SQLModel

Rows = Mapping[type[SQLModel], Sequence[Mapping[str, Any]]]


class BulkInsert:
    """The insert statement for these tables and columns."""

    def __init__(
        self,
        columns: Iterable[tuple[type[SQLModel], tuple[str, ...]]],
        dialect: Dialect,
    ) -> None:
        self._columns: list[tuple[type[SQLModel], str, Callable[[Any], Any]]] = []
        parts = [self._insert(table, names, dialect) for table, names in columns]
        *others, last = parts
        with_others = ", ".join(f"w{n} AS ({part})" for n, part in enumerate(others))
        self.sql = f"WITH {with_others} {last}" if others else last

    def _insert(
        self, model: type[SQLModel], names: tuple[str, ...], dialect: Dialect
    ) -> str:
        table: Table = model.__table__  # type: ignore[attr-defined]
        arrays, values = [], []
        for name in names:
            column: Column[Any] = table.c[name]
            self._columns.append((model, name, _processor(column, dialect)))
            kind = column.type.compile(dialect)
            json = isinstance(column.type, JSON)
            # The driver would send an array of JSON values as JSON, so it goes as text.
            arrays.append(f"${len(self._columns)}::{'TEXT' if json else kind}[]")
            values.append(f"{name}::{kind}" if json else name)
        listed = ", ".join(names)
        return (
            f"INSERT INTO {table.name} ({listed}) SELECT {', '.join(values)} "  # nosec
            f"FROM unnest({', '.join(arrays)}) AS rows({listed})"
        )

    def parameters(self, rows: Rows) -> tuple[list[Any], ...]:
        """One array per column, in the order of the statement."""
        return tuple(
            [process(row[name]) for row in rows[model]]
            for model, name, process in self._columns
        )


def _processor(column: Column[Any], dialect: Dialect) -> Callable[[Any], Any]:
    found = column.type.dialect_impl(dialect).bind_processor(dialect)
    return found or (lambda value: value)


@lru_cache
def bulk_insert(
    columns: tuple[tuple[type[SQLModel], tuple[str, ...]], ...], dialect: Dialect
) -> BulkInsert:
    """The statement, built once and cached."""
    return BulkInsert(columns, dialect)
