"""The smoke test says which promise is broken, and how. tests/e2e runs it against the
real system; here an API of a few lines breaks one promise at a time."""

import json
from collections.abc import Callable, Iterator
from contextlib import redirect_stdout
from pathlib import Path
from typing import Any

import httpx2
import pytest

from app.core.services import SERVICES, Service
from app.smoke import __main__ as smoke
from app.smoke.plan import Example, Plan, ServicePlan, read_plan
from app.smoke.system import PATIENCE, System

RECORDS = "/api/v1/database/records"
PROCESS = "/api/v1/shop/process"
PLAN = Plan(
    services=(
        ServicePlan("shop", True, Example(PROCESS, 1), Example(f"{PROCESS}-async", 2)),
        ServicePlan("bank", False, Example("/bank", 3), None),
    ),
    lists=("/api/v1/webhooks?limit=1",),
    paths=frozenset(
        {
            *("/api/v1/events", "/api/v1/events/stream"),
            *("/api/v1/metrics", "/api/v1/database/logs"),
        }
    ),
)
WORK = {"task_id": "2", "task_status": "Processing", "outcome": None}
DONE = {"task_id": "2", "task_status": "Success", "outcome": "two"}
EVENTS = [{"type": "record.accepted"}, {"type": "record.succeeded"}]
STREAM = "".join(f"id: 1\nevent: {each['type']}\ndata: {{}}\n\n" for each in EVENTS)
UP = {"a": {"status": "up", "detail": None}}

Answer = httpx2.Response
Rule = Callable[[httpx2.Request], Answer | None]


class Shop:
    """Keeps every promise, unless `rule` answers first."""

    def __init__(self, rule: Rule | None = None, token: str | None = None) -> None:
        self.rule, self.token = rule, token
        self.keys: set[str] = set()
        self.deleted: set[str] = set()
        self.sent: list[httpx2.Request] = []

    def __call__(self, request: httpx2.Request) -> Answer:
        self.sent.append(request)
        found = self.rule(request) if self.rule else None
        return found or self._answer(request)

    def _answer(self, request: httpx2.Request) -> Answer:
        path = request.url.path
        is_open = path.startswith(("/health", "/smoke-"))
        if self.token and not is_open:
            if request.headers.get("Authorization") != f"Bearer {self.token}":
                return Answer(401, headers={"WWW-Authenticate": "Bearer"}, json={})
        match request.method, path.removeprefix("/api/v1"):
            case "GET", "/health":
                return Answer(200, json={"dependencies": UP})
            case "GET", "/health/live" | "/health/ready":
                return Answer(200, json={})
            case "POST", "/shop/process":
                return self._processed(request)
            case "POST", "/shop/process-async":
                place = {"Location": f"{PROCESS}-async/2"}
                return Answer(202, headers=place, json=WORK)
            case "GET", "/shop/process-async/2":
                return Answer(200, json=DONE)
            case "GET", "/events":
                return Answer(200, json=EVENTS)
            case "GET", "/events/stream":
                return Answer(200, text=STREAM)
            case "GET", "/metrics":
                return Answer(200, json={"queues_error": None})
            case "GET", "/database/logs":
                return Answer(200, json=[{}])
            case "GET", "/webhooks":
                return Answer(200, json=[])
            case "DELETE", _:
                self.deleted.add(path)
                return Answer(204)
            case "GET", "/database/records/1" if path not in self.deleted:
                return Answer(200, json={"outcome": "one"})
        problem = {"request_id": request.headers["X-Request-ID"]}
        kind = {"Content-Type": "application/problem+json"}
        return Answer(404, headers=kind, content=json.dumps(problem))

    def _processed(self, request: httpx2.Request) -> Answer:
        place = {"Location": f"{RECORDS}/1"}
        if key := request.headers.get("Idempotency-Key"):
            if key in self.keys:
                place["Idempotency-Replayed"] = "true"
            self.keys.add(key)
        return Answer(200, headers=place, json={"outcome": "one"})


def tried(shop: Shop, token: str | None = None) -> dict[str, smoke.PromiseResult]:
    transport = httpx2.MockTransport(shop)
    with httpx2.Client(base_url="http://shop", transport=transport) as http:
        system = System(http, token)
        verdicts = smoke.try_all(system, PLAN, has_token=token is not None)
        found = {each.promise: each for each in verdicts}
    assert [*found] == smoke.promise_names(PLAN)
    return found


def failed(verdicts: dict[str, smoke.PromiseResult]) -> list[str]:
    return [name for name, each in verdicts.items() if each.result == smoke.FAILED]


def test_a_system_that_keeps_all() -> None:
    shop = Shop()
    verdicts = tried(shop)
    assert {name: each.result for name, each in verdicts.items()} == {
        "the API is alive": "ok",
        "the API is ready": "ok",
        "every part is up": "ok",
        "errors are problem details": "ok",
        "401 without a token": "skipped",
        "shop: answers at once": "ok",
        "shop: does accepted work": "ok",
        "bank: answers at once": "skipped",
        "bank: does accepted work": "skipped",
        "the same key twice, one effect": "ok",
        "events are logged": "ok",
        "events are streamed": "ok",
        "GET /api/v1/webhooks?limit=1": "ok",
        "GET /api/v1/metrics": "ok",
        "these records can be deleted": "ok",
    }
    assert shop.deleted == {f"{RECORDS}/1", f"{RECORDS}/2"}
    ids = [request.headers["X-Request-ID"] for request in shop.sent]
    assert len({each.rpartition("-")[0] for each in ids}) == 1
    assert all(each.startswith("smoke-") for each in ids)
    assert not [request for request in shop.sent if "bank" in request.url.path]


def answer(path: str, method: str = "GET", status: int = 200, **options: Any) -> Rule:
    def rule(request: httpx2.Request) -> Answer | None:
        if (request.method, request.url.path) == (method, path):
            return Answer(status, **options)
        return None

    return rule


NO_CONSUMER = {"code": "no_consumer", "detail": "nobody answers"}
DOWN = {"dependencies": {"redis": {"status": "down", "detail": "no answer"}}}
TWO = {"Location": f"{PROCESS}-async/2"}
ONE = {"Location": f"{RECORDS}/1"}
BROKEN: dict[str, tuple[Rule, str, str]] = {
    "live": (answer("/health/live", status=502), "the API is alive", "502"),
    "ready": (answer("/health/ready", status=503), "the API is ready", "503"),
    "part": (
        answer("/health", json=DOWN),
        "every part is up",
        "redis is down (no answer)",
    ),
    "call": (
        answer(PROCESS, "POST", 503, json=NO_CONSUMER),
        "shop: answers at once",
        "503 no_consumer: nobody answers",
    ),
    "record": (
        answer(f"{RECORDS}/1", json={"outcome": "two"}),
        "shop: answers at once",
        "another outcome",
    ),
    "accepted": (
        answer(f"{PROCESS}-async", "POST", 503, text="no"),
        "shop: does accepted work",
        "503 no",
    ),
    "work": (
        answer(f"{PROCESS}-async/2", json={**WORK, "detail": "queued"}),
        "shop: does accepted work",
        "still queued after 30 s",
    ),
    "failure": (
        answer(f"{PROCESS}-async/2", json={**DONE, "task_status": "Failure"}),
        "shop: does accepted work",
        "ended in Failure: two",
    ),
    "replay": (
        answer(PROCESS, "POST", headers=ONE, json={"outcome": "one"}),
        "the same key twice, one effect",
        "processed again",
    ),
    "calls": (
        answer("/api/v1/database/logs", json=[{}, {}]),
        "the same key twice, one effect",
        "2 calls",
    ),
    "no calls": (
        answer("/api/v1/database/logs", json=[]),
        "the same key twice, one effect",
        "0 calls",
    ),
    "log": (
        answer("/api/v1/events", json=EVENTS[:1]),
        "events are logged",
        "the events are record.accepted",
    ),
    "stream": (
        answer("/api/v1/events/stream", text=": nothing\n\n"),
        "events are streamed",
        "the events are missing",
    ),
    "refused stream": (
        answer("/api/v1/events/stream", status=429, text="too many"),
        "events are streamed",
        "429 too many",
    ),
    "list": (
        answer("/api/v1/webhooks", json={}),
        "GET /api/v1/webhooks?limit=1",
        "no list",
    ),
    "metrics": (
        answer("/api/v1/metrics", json={"queues_error": "no answer"}),
        "GET /api/v1/metrics",
        "no answer",
    ),
    "delete": (
        answer(f"{RECORDS}/2", "DELETE", 403, json={"code": "x", "detail": "y"}),
        "these records can be deleted",
        "403 x: y; still there: 2",
    ),
    "html": (
        answer("/health", text="<html>"),
        "every part is up",
        "not the documented answer",
    ),
}


@pytest.mark.parametrize("name", BROKEN)
def test_a_broken_promise_is_told(name: str) -> None:
    rule, promise, reason = BROKEN[name]
    verdicts = tried(Shop(rule))
    assert verdicts[promise].result == smoke.FAILED
    assert reason in verdicts[promise].reason
    assert " [smoke-" in verdicts[promise].reason  # to look for in the logs


def test_an_error_without_problem_details_is_told() -> None:
    def rule(request: httpx2.Request) -> Answer | None:
        if request.url.path.startswith("/smoke-"):
            return Answer(404, text="<html>")
        return None

    assert failed(tried(Shop(rule))) == ["errors are problem details"]


def test_a_system_that_does_not_answer() -> None:
    def rule(request: httpx2.Request) -> Answer | None:
        raise httpx2.ConnectError("refused")

    verdicts = tried(Shop(rule))
    assert verdicts["the API is alive"].reason.startswith("no answer: refused")
    assert verdicts["shop: answers at once"].result == smoke.SKIPPED


def test_the_token_is_sent_and_its_lack_refused() -> None:
    verdicts = tried(Shop(token="t"), "t")
    assert failed(verdicts) == []
    assert verdicts["401 without a token"].result == smoke.OK


def test_without_the_token_the_rest_is_skipped() -> None:
    verdicts = tried(Shop(token="t"))
    assert failed(verdicts) == ["401 without a token"]
    assert verdicts["shop: answers at once"].reason == smoke.NOT_ASKED


def test_a_system_that_lets_everybody_in() -> None:
    verdicts = tried(Shop(), "t")
    assert failed(verdicts) == ["401 without a token"]
    assert "authentication is off" in verdicts["401 without a token"].reason


def test_a_stream_may_be_silent_as_long_as_work_may_last() -> None:
    """The event that ends it comes with the end of the work."""
    shop = Shop()
    tried(shop)
    waits = [r.extensions["timeout"] for r in shop.sent if "stream" in r.url.path]
    assert waits and all(each["read"] == PATIENCE for each in waits)
    assert all(each["connect"] < PATIENCE for each in waits)


def test_the_plan_calls_every_service_and_reads_every_list() -> None:
    plan = read_plan()
    assert [each.name for each in plan.services] == [each.name for each in SERVICES]
    for each in plan.services:
        assert each.at_once is None or each.at_once.body is not None
        assert each.later is None or each.later != each.at_once
    for path in ("database/records", "database/logs", "events", "webhooks"):
        assert f"/api/v1/{path}?limit=1" in plan.lists
    assert not [path for path in plan.lists if "{" in path or "stream" in path]


def test_a_service_without_endpoints_is_told() -> None:
    plan = read_plan([Service("new", "new_queue", is_tried=True)])
    assert plan.services == (ServicePlan("new", True, None, None),)


def test_each_line_is_printed_when_it_is_known(
    capsys: pytest.CaptureFixture[str],
) -> None:
    printed: list[str] = []

    def results() -> Iterator[smoke.PromiseResult]:
        yield smoke.PromiseResult("one", smoke.OK, 12.4)
        printed.append(capsys.readouterr().out)
        yield smoke.PromiseResult("another", smoke.FAILED, 5, "why")
        yield smoke.PromiseResult("last", smoke.SKIPPED, 0, "off")

    assert smoke.print_results(results(), width=7) == 1
    printed.append(capsys.readouterr().out)
    first, rest = (text.splitlines() for text in printed)
    assert first == ["promise  result       ms  reason", "one      ok           12"]
    assert rest == [
        "another  FAILED        5  why",
        "last     skipped          off",
        "",
        "1 ok, 1 FAILED, 1 skipped",
    ]


def test_each_line_is_in_the_log_at_once(tmp_path: Path) -> None:
    """Who waits for a job reads its log."""
    log = tmp_path / "log"

    def results() -> Iterator[smoke.PromiseResult]:
        yield smoke.PromiseResult("one", smoke.OK, 12.4)
        assert "one" in log.read_text()

    with log.open("w") as file, redirect_stdout(file):
        assert smoke.print_results(results(), width=7) == 0


@pytest.mark.parametrize(
    ("option", "text"),
    [
        *(("--token-file", text) for text in ("", "two words", None)),
        *(("--ca-file", text) for text in ("no certificate", None)),
    ],
)
def test_a_file_that_cannot_be_used_is_named(
    option: str, text: str | None, tmp_path: Any, capsys: pytest.CaptureFixture[str]
) -> None:
    file = tmp_path / "given"
    if text is not None:
        file.write_text(text)
    with pytest.raises(SystemExit) as ended:
        smoke.run_smoke_test(["http://127.0.0.1:9", option, str(file)])
    assert ended.value.code == 2
    assert option in capsys.readouterr().err


@pytest.mark.parametrize("seconds", ["0", "-1", "1000000", "soon"])
def test_patience_has_bounds(seconds: str, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as ended:
        smoke.run_smoke_test(["http://127.0.0.1:9", "--patience", seconds])
    assert ended.value.code == 2
    assert "--patience" in capsys.readouterr().err
