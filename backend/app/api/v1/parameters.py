"""Parameters that several endpoints share, and the link to the next page."""

from typing import Annotated, Any
from uuid import UUID

from fastapi import Path, Query, Request, Response
from pydantic import AfterValidator, Field

from app.models.schemas import TASK_ID
from app.repositories.pages import Page, Rows

ID_PATTERN = r"^[A-Za-z0-9._~:#/+=@-]{1,128}$"
# An id as it stands in a URN or between braces.
TASK_ID_PATTERN = r"^[A-Za-z0-9._~:#/+=@{}-]{1,128}$"
NAME_PATTERN = r"^[A-Za-z0-9._-]{1,128}$"

# Rows of a page, and rows that it skips: PostgreSQL reads those all the same.
MAX_LIMIT = 100
MAX_OFFSET = 10_000

EQUAL = "Only rows with this value."


def normal_id(task_id: str) -> str:
    """A UUID as it is stored, however the client writes it (RFC 9562, section 4)."""
    try:
        return str(UUID(task_id))
    except ValueError:
        return task_id


TaskId = Annotated[
    str,
    Path(
        pattern=TASK_ID_PATTERN,
        description="The id from `Location` or from a row.",
        examples=[TASK_ID],
    ),
    AfterValidator(normal_id),
]
# Before the validator, or the published schema would not have the pattern.
_TaskId = Annotated[str, Field(pattern=TASK_ID_PATTERN), AfterValidator(normal_id)]
TaskIdQuery = Annotated[_TaskId | None, Query(description=EQUAL)]
NameQuery = Annotated[str | None, Query(pattern=NAME_PATTERN, description=EQUAL)]
IdQuery = Annotated[str | None, Query(pattern=ID_PATTERN, description=EQUAL)]


async def get_page(
    request: Request,
    limit: Annotated[int, Query(ge=1, le=MAX_LIMIT, description="Rows per page.")] = 10,
    offset: Annotated[
        int,
        Query(ge=0, le=MAX_OFFSET, description="Rows to skip; not needed with `Link`."),
    ] = 0,
    before: Annotated[
        int | None,
        Query(ge=1, le=2**63 - 1, description="Only rows with an `id` below this one."),
    ] = None,
) -> Page:
    """The page that the request asks for."""
    settings = request.app.state.settings
    seconds = settings.database.db_read_timeout_seconds
    return Page(limit, offset, before, settings.max_page_bytes, seconds)


def link_next(request: Request, response: Response, rows: Rows[Any]) -> None:
    """Name the next page in a ``Link`` header (RFC 8288), if there may be one."""
    if rows.has_more:
        url = request.url.remove_query_params("offset")
        url = url.include_query_params(before=rows[-1].id)
        response.headers["Link"] = f'<{url.path}?{url.query}>; rel="next"'
