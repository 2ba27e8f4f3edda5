"""The limits of a page that a request asks for."""

from typing import Annotated

import pytest
from fastapi import Depends, FastAPI
from fastapi.testclient import TestClient

from app.api.v1.parameters import MAX_LIMIT, MAX_OFFSET, get_page
from app.core.config import Settings
from app.repositories.pages import Page


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
