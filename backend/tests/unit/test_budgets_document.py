"""Each limit in `docs/BUDGETS.md` has a test that is at it and one beyond it: some are
here, and the marker `budget` names those of the others."""

import json
import re
from collections.abc import Callable, Iterator
from importlib import import_module
from pathlib import Path
from types import SimpleNamespace
from typing import NamedTuple

import pytest
import yaml
from fastapi.testclient import TestClient

from app.api.middleware.answers import PIECE
from app.core.budget import Budget
from app.core.config import Settings
from chassis.rpc.connection import Delivery
from chassis.rpc.handling import ENVELOPE, RequestHandler
from chassis.rpc.wire import Request
from chassis.settings import ServiceSettings
from tests.team import PREFIX, create_team_app

ROOT = Path(__file__).parents[3]
DOCUMENT = ROOT / "docs" / "BUDGETS.md"
JSON = {"Content-Type": "application/json"}

SOURCES = ("backend/app", "packages/chassis/src")
HEAD = "| resource | limit | setting | what the client sees | how to size it |"
SETTING = re.compile(r"\[?`([^`]+)`(?:\]\(\.\./(.+)\))?")
QUANTITY = re.compile(r"([\d,]+)(?: (KiB|MiB))?")
UNITS = {"": 1, "KiB": 2**10, "MiB": 2**20}


class Limit(NamedTuple):
    """One row: ``file`` is the linked one, from the root."""

    section: str
    name: str
    file: str
    value: str
    seen: str


def limits() -> Iterator[Limit]:
    """The rows of all tables that have the columns of a limit."""
    for section in DOCUMENT.read_text().split("\n## ")[1:]:
        title, _, text = section.partition("\n")
        if HEAD not in text:
            continue
        rows = text.split(HEAD)[1].strip().split("\n\n")[0].splitlines()[1:]
        for row in rows:
            _, value, setting, seen, _ = (c.strip() for c in row.strip("|").split("|"))
            found = SETTING.fullmatch(setting)
            assert found, f"this is not one setting: {setting}"
            yield Limit(title, found[1], found[2] or "", value, seen)


LIMITS = list(limits())


def seen(section: str, name: str) -> str:
    """What the client sees, by the document."""
    (found,) = (x.seen for x in LIMITS if (x.section, x.name) == (section, name))
    return found


def marked() -> set[str]:
    """The names that markers of tests give, in all components."""
    files = [
        file
        for tests in ("tests", "*/tests", "*/*/tests")
        for file in ROOT.glob(f"{tests}/**/test_*.py")
    ]
    marks = [
        names
        for file in files
        for names in re.findall(r"mark\.budget\(([^)]+)\)", file.read_text())
    ]
    return {name for names in marks for name in re.findall(r'"([\w .-]+)"', names)}


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


@pytest.mark.promise(
    "docs/BUDGETS.md",
    "`backend/tests/unit/test_budgets_document.py` fails for a limit without a test.",
)
def test_each_limit_has_a_test() -> None:
    missing = {limit.name for limit in LIMITS} - marked()
    assert not missing, (
        f"docs/BUDGETS.md names {sorted(missing)}, and no test does: write one that is "
        'at the limit and one beyond it, under @pytest.mark.budget("<name>")'
    )


def test_each_tested_limit_is_in_the_document() -> None:
    unknown = marked() - {limit.name for limit in LIMITS}
    assert not unknown, (
        f"tests name {sorted(unknown)}, which docs/BUDGETS.md does not: "
        "add a row to one of its tables, or correct the marker"
    )


@pytest.mark.parametrize(
    "limit",
    [limit for limit in LIMITS if limit.file.endswith(".py")],
    ids=lambda limit: str(limit.name),
)
def test_constants_have_their_value(limit: Limit) -> None:
    """`tests/unit/test_documented_values.py` looks at the settings."""
    module = limit.file.removeprefix("backend/").partition("/src/")
    path = (module[2] or module[0]).removesuffix(".py").replace("/", ".")
    stem, constant = limit.name.split(".")
    assert path.endswith(f".{stem}")
    assert amount(limit.value) == getattr(import_module(path), constant)


def test_the_errors_exist() -> None:
    files = [file for folder in SOURCES for file in (ROOT / folder).rglob("*.py")]
    sources = [file.read_text() for file in (*files, ROOT / "nginx_config.conf")]
    codes = {c for limit in LIMITS for c in re.findall(r"\d{3} `(\w+)`", limit.seen)}
    unknown = {c for c in codes if not any(f'"{c}"' in text for text in sources)}
    assert not unknown, f"docs/BUDGETS.md promises {unknown}, which no process answers"


def amount(text: str) -> int:
    """The quantity that a text begins with."""
    found = QUANTITY.match(text)
    assert found, f"this begins with no quantity: {text}"
    return int(found[1].replace(",", "")) * UNITS[found[2] or ""]


def test_the_redis_for_keys_has_its_memory() -> None:
    (limit,) = (limit for limit in LIMITS if limit.name == "redis-keys maxmemory")
    command = yaml.safe_load((ROOT / limit.file).read_text())["services"]["redis-keys"]
    options = " ".join(command["command"])
    assert f"--maxmemory {amount(limit.value) // 2**20}mb" in options


@pytest.mark.parametrize(
    ("title", "name", "exceed"),
    [
        *(("API", name, exceed) for name, exceed in API.items()),
        *(("Service", name, exceed) for name, exceed in SERVICE.items()),
    ],
)
@pytest.mark.budget("MAX_BODY_BYTES", "MAX_JSON_VALUES", "MAX_BODY_BYTES_IN_FLIGHT")
@pytest.mark.budget("MAX_RESULT_BYTES")
def test_exceeding_a_limit_by_one_is_refused(
    title: str, name: str, exceed: Callable[[int], str]
) -> None:
    assert exceed(0) == "200 ``"
    assert exceed(1) == seen(title, name)


def test_each_application_has_its_own_budget() -> None:
    assert isinstance(create_team_app().state.budget, Budget)
