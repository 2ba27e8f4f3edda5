"""Parameters that several endpoints share, and the link to the next page."""

from collections.abc import Sequence
from typing import Annotated, Any

from fastapi import Path, Query, Request, Response

from app.models.schemas import TASK_ID
from app.repositories.pages import Page

ID_PATTERN = r"^[A-Za-z0-9._:#/+=@-]{1,128}$"
NAME_PATTERN = r"^[A-Za-z0-9._-]{1,128}$"

EQUAL = "Only rows in which it has this value."

TaskId = Annotated[
    str,
    Path(
        pattern=ID_PATTERN,
        description="As `Location` gave it, or a row.",
        examples=[TASK_ID],
    ),
]
NameQuery = Annotated[str | None, Query(pattern=NAME_PATTERN, description=EQUAL)]
IdQuery = Annotated[str | None, Query(pattern=ID_PATTERN, description=EQUAL)]


async def get_page(
    limit: Annotated[int, Query(ge=1, le=100, description="Rows in one page.")] = 10,
    offset: Annotated[
        int,
        Query(ge=0, le=1_000_000, description="Rows to skip; `Link` needs none."),
    ] = 0,
    before: Annotated[
        int | None,
        Query(ge=1, le=2**63 - 1, description="Only rows with an `id` below this one."),
    ] = None,
) -> Page:
    """The page that the request asks for."""
    return Page(limit, offset, before)


def link_next(
    request: Request, response: Response, page: Page, rows: Sequence[Any]
) -> None:
    """Name the next page in a ``Link`` header (RFC 8288), if there may be one."""
    if len(rows) == page.limit:
        url = request.url.remove_query_params("offset")
        url = url.include_query_params(before=rows[-1].id)
        response.headers["Link"] = f'<{url.path}?{url.query}>; rel="next"'
