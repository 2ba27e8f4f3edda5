"""One page of a table, newest rows first."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TypeVar

from sqlmodel import SQLModel, col, select
from sqlmodel.sql.expression import SelectOfScalar

Table = TypeVar("Table", bound=SQLModel)


@dataclass(frozen=True)
class Page:
    """``before`` an id costs the same on every page; ``offset`` skips rows."""

    limit: int
    offset: int = 0
    before: int | None = None


def newest_first(
    table: type[Table], page: Page, equal: Mapping[str, str | None]
) -> SelectOfScalar[Table]:
    """Rows whose columns equal those values; a value of None does not filter."""
    key = col(table.id)  # type: ignore[attr-defined]
    query = select(table).order_by(key.desc())
    query = query.filter_by(**{k: v for k, v in equal.items() if v is not None})
    if page.before is not None:
        query = query.where(key < page.before)
    return query.limit(page.limit).offset(page.offset)
