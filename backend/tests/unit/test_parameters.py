"""The limits of a page that a request asks for, and the link to the next one."""

from functools import partial
from types import SimpleNamespace
from typing import Annotated, Any, cast

import pytest
from fastapi import Depends, FastAPI, Request, Response
from fastapi.testclient import TestClient

from app.api.v1.endpoints.events import AfterQuery, LastEventId
from app.api.v1.endpoints.webhooks import get_deliveries, get_webhooks
from app.api.v1.parameters import MAX_LIMIT, MAX_OFFSET, get_page, link_next
from app.core.config import Settings
from app.repositories.pages import Page, Rows


@pytest.fixture
def client() -> TestClient:
    app = FastAPI()
    app.state.settings = Settings()

    @app.get("/")
    async def read(page: Annotated[Page, Depends(get_page)]) -> tuple[int, int]:
        return page.limit, page.offset

    return TestClient(app)


@pytest.mark.budget("parameters.MAX_LIMIT", "parameters.MAX_OFFSET")
def test_rows_and_skipped_rows_of_a_page_are_bounded(client: TestClient) -> None:
    most = {"limit": MAX_LIMIT, "offset": MAX_OFFSET}
    assert client.get("/", params=most).json() == [MAX_LIMIT, MAX_OFFSET]
    for name, value in most.items():
        answer = client.get("/", params=most | {name: value + 1})
        assert answer.status_code == 422
        assert answer.json()["detail"][0]["loc"] == ["query", name]


@pytest.mark.parametrize("has_more", [True, False])
def test_the_next_page_begins_where_this_one_ends(
    client: TestClient, has_more: bool
) -> None:
    """With the same filters; rows that were skipped once are not skipped again."""
    app = cast(FastAPI, client.app)

    @app.get("/rows")
    async def read(request: Request, response: Response) -> None:
        rows: Rows[Any] = Rows(SimpleNamespace(id=number) for number in (9, 5))
        rows.has_more = has_more
        link_next(request, response, rows)

    answer = client.get("/rows?status=Failure&offset=3&limit=2&before=12")
    expected = '</rows?status=Failure&limit=2&before=5>; rel="next"'
    assert answer.headers.get("Link") == (expected if has_more else None)


def test_a_stream_may_begin_with_the_first_event() -> None:
    """0 is before all, whether it is the client's own or the browser's."""
    app = FastAPI()

    @app.get("/")
    async def read(after: AfterQuery = None, last: LastEventId = None) -> list[Any]:
        return [after, last]

    client = TestClient(app)
    assert client.get("/", params={"after": 0}).json() == [0, None]
    assert client.get("/", headers={"Last-Event-ID": "0"}).json() == [None, 0]
    assert client.get("/", headers={"Last-Event-ID": "-1"}).status_code == 422


@pytest.mark.parametrize("has_more", [True, False])
async def test_lists_of_webhooks_name_their_next_page(has_more: bool) -> None:
    rows: Rows[Any] = Rows([SimpleNamespace(id=7)])
    rows.has_more = has_more

    async def found(*_: object) -> Rows[Any]:
        return rows

    service: Any = SimpleNamespace(get_page=found, get_deliveries=found)
    scope = {"type": "http", "path": "/", "query_string": b"", "headers": []}
    page, request = Page(1, 0), Request({**scope, "server": ("h", 80)})
    for ask in (get_webhooks, partial(get_deliveries, 1)):
        response = Response()
        assert await ask(service, page, request, response) is rows
        assert ("before=7" in response.headers.get("Link", "")) is has_more
