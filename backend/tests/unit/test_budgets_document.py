"""For each setting in the tables of `docs/BUDGETS.md`, a test exceeds it by one."""

import json
import re
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace

import pytest
from fastapi.testclient import TestClient

from app.api.middleware.answers import PIECE
from app.core.budget import Budget
from app.core.config import Settings
from chassis.rpc.connection import Delivery
from chassis.rpc.handling import ENVELOPE, RequestHandler
from chassis.rpc.wire import Request
from chassis.settings import ServiceSettings
from tests.team import PREFIX, create_team_app

DOCUMENT = Path(__file__).parents[3] / "docs" / "BUDGETS.md"
JSON = {"Content-Type": "application/json"}

# Other tests cover these: pages by bytes, the intake, the threads.
ELSEWHERE = {"MAX_PAGE_BYTES", "MAX_UNSETTLED_BYTES", "CONCURRENCY"}


def sections(title: str) -> dict[str, str]:
    """The settings of a section, with the client's view of each limit."""
    part = DOCUMENT.read_text().split(f"## {title}\n")[1].split("\n## ")[0]
    rows = re.findall(r"^\|.*?\|.*?\| `(\w+)` \| (.*?) \|", part, re.MULTILINE)
    return dict(rows)


def ask(budget: int = 0, **body: bytes) -> str:
    """The API's answer to a body: status and code."""
    app = create_team_app(Settings())
    app.state.resources = SimpleNamespace(keys=None)
    app.state.budget.hold(budget)
    client = TestClient(app, raise_server_exceptions=False)
    answer = client.post(f"{PREFIX}/stream", content=body["content"], headers=JSON)
    assert answer.status_code != 503 or answer.headers["Retry-After"]
    code = "" if answer.status_code == 200 else answer.json()["code"]
    return f"{answer.status_code} `{code}`"


def text(size: int) -> bytes:
    return b'"' + b"x" * (size - 2) + b'"'


def numbers(count: int) -> bytes:
    return json.dumps([0] * (count - 1)).encode()


def held(room: int) -> str:
    most = Settings().max_body_bytes_in_flight
    return ask(most - room, content=text(PIECE))


API: dict[str, Callable[[int], str]] = {
    "MAX_BODY_BYTES": lambda more: ask(
        content=text(Settings().max_body_bytes + more),
    ),
    "MAX_JSON_VALUES": lambda more: ask(
        content=numbers(Settings().max_json_values + more)
    ),
    "MAX_BODY_BYTES_IN_FLIGHT": lambda more: held(PIECE - more),
}


class Long:
    def __init__(self, size: int) -> None:
        self._size = size

    def call(self, data: str) -> tuple[str, str]:
        return text(self._size).decode(), "string"


def handle(body: bytes, result: int = 2) -> str:
    """The service's answer to a caller."""
    own = ServiceSettings()
    delivery = Delivery(body, {}, {"reply_to": "caller"}, 1)
    handler = RequestHandler(
        Long(result),
        1,
        max_values=own.max_json_values,
        max_result_bytes=own.max_result_bytes,
    )
    error = handler(Request(delivery, None)).error
    return f"422 `{error}`" if error else "200 ``"


SERVICE: dict[str, Callable[[int], str]] = {
    "MAX_JSON_VALUES": lambda more: handle(
        numbers(ServiceSettings().max_json_values + ENVELOPE + more)
    ),
    "MAX_RESULT_BYTES": lambda more: handle(
        b"1", ServiceSettings().max_result_bytes + more
    ),
}


@pytest.mark.parametrize("title", ["API", "Service"])
def test_the_tables_name_the_tested_settings(title: str) -> None:
    tried = {"API": API, "Service": SERVICE}[title]
    assert set(sections(title)) == set(tried) | (set(sections(title)) & ELSEWHERE)


@pytest.mark.parametrize(
    ("title", "name", "exceed"),
    [
        *(("API", name, exceed) for name, exceed in API.items()),
        *(("Service", name, exceed) for name, exceed in SERVICE.items()),
    ],
)
def test_exceeding_a_limit_by_one_is_refused(
    title: str, name: str, exceed: Callable[[int], str]
) -> None:
    assert exceed(0) == "200 ``"
    assert exceed(1) == sections(title)[name]


def test_each_application_has_its_own_budget() -> None:
    assert isinstance(create_team_app().state.budget, Budget)
