"""One page of a table, newest rows first, within its byte budget."""

import asyncio
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, TypeVar

from sqlalchemy import Select, func, literal_column, or_, select
from sqlmodel import SQLModel, col
from sqlmodel.ext.asyncio.session import AsyncSession

from app.core.exceptions import DatabaseUnavailable

Table = TypeVar("Table", bound=SQLModel)
Row = TypeVar("Row")

MAX_BYTES = 4 * 1024 * 1024
MAX_SECONDS = 2.0


@dataclass(frozen=True)
class Page:
    """``before`` an id costs the same for every page; ``offset`` reads and skips
    rows."""

    limit: int
    offset: int = 0
    before: int | None = None
    max_bytes: int = MAX_BYTES
    max_seconds: float = MAX_SECONDS


class Rows(list[Row]):
    """The rows of a page; ``has_more`` is False on the last one."""

    has_more = False


async def read_page(
    session: AsyncSession,
    table: type[Table],
    page: Page,
    equal: Mapping[str, str | None] | None = None,
) -> Rows[Table]:
    """The rows whose columns equal those values; None does not filter."""
    rows: Rows[Table] = Rows()
    query = newest_first(table, page, equal or {})
    for row, found in await in_time(session, query, page):
        rows.append(row)
        rows.has_more = found == page.limit or found > len(rows)
    return rows


async def in_time(session: AsyncSession, query: Any, page: Page) -> Any:
    """Run the query of a page; PostgreSQL cancels it when it takes too long.

    Raises:
        DatabaseUnavailable: it took too long.
    """
    try:
        async with asyncio.timeout(page.max_seconds):
            return await session.exec(query)
    except TimeoutError as error:
        detail = f"Reading the page took longer than {page.max_seconds:g} s."
        raise DatabaseUnavailable(detail) from error


def newest_first(
    table: type[Table], page: Page, equal: Mapping[str, str | None], *columns: Any
) -> Select[Any]:
    """Rows of the table, or only those columns, and the number of rows the page would
    have without the byte budget.

    PostgreSQL sums the sizes, so rows beyond the budget are never sent. The first row
    of a page always is: otherwise nobody could read a larger one.
    """
    key = col(table.id)  # type: ignore[attr-defined]
    wanted = select(key).order_by(key.desc()).limit(page.limit).offset(page.offset)
    wanted = wanted.filter_by(**{k: v for k, v in equal.items() if v is not None})
    if page.before is not None:
        wanted = wanted.where(key < page.before)
    # Sizes of this page's rows only: rows skipped by the offset are not read.
    size = func.octet_length(literal_column(f'"{table.__tablename__}"::text'))
    sized = select(key, size.label("size")).where(key.in_(wanted)).subquery()
    below = sized.c.id.desc()
    total = func.sum(sized.c.size).over(order_by=below).label("total")
    found = func.count().over().label("found")
    number = func.row_number().over(order_by=below).label("number")
    page_rows = select(sized.c.id, total, number, found).subquery()
    return (
        select(*columns or (table,), page_rows.c.found)
        .join(page_rows, key == page_rows.c.id)
        .where(or_(page_rows.c.total <= page.max_bytes, page_rows.c.number == 1))
        .order_by(key.desc())
    )
