"""The promises, each tried once, in the order of the table."""

from collections.abc import Callable, Iterator
from functools import partial
from typing import Any
from uuid import uuid4

from app.core import idempotency
from app.smoke.plan import Example, Plan, ServicePlan
from app.smoke.system import RECORDS, Broken, Skipped, System

EVENTS = "/api/v1/events"
STREAM = f"{EVENTS}/stream"
METRICS = "/api/v1/metrics"
LOGS = "/api/v1/database/logs"
HISTORY = ["record.accepted", "record.succeeded"]

Try = Callable[[System], None]


def open_promises(plan: Plan, has_token: bool) -> Iterator[tuple[str, Try]]:
    """Those that hold for everybody."""
    yield "the API is alive", partial(_answers_with_200, "/health/live")
    yield "the API is ready", partial(_answers_with_200, "/health/ready")
    yield "every part is up", _all_up
    yield "errors are problem details", _explains_errors
    yield "401 without a token", partial(_refuses_nobody, plan, has_token)


def guarded_promises(plan: Plan) -> Iterator[tuple[str, Try]]:
    """Those that need a token, if authentication is on. The last one deletes what the
    others have made."""
    for service in plan.services:
        yield f"{service.name}: answers at once", partial(_answers_at_once, service)
        yield f"{service.name}: does accepted work", partial(_does_work, service)
    tried = [each for each in plan.services if each.is_tried]
    at_once = next((each.at_once for each in tried if each.at_once), None)
    later = next((each.later for each in tried if each.later), None)
    yield "the same key twice, one effect", partial(_keeps_key, plan, at_once)
    if EVENTS in plan.paths:
        yield "events are logged", partial(_logs_events, later)
    if STREAM in plan.paths:
        yield "events are streamed", partial(_streams_events, later)
    for path in plan.lists:
        yield f"GET {path}", partial(_lists_rows, path)
    if METRICS in plan.paths:
        yield f"GET {METRICS}", _measures_queues
    yield "these records can be deleted", _deletes_records


def _answers_with_200(path: str, system: System) -> None:
    system.ask("GET", path, 200)


def _all_up(system: System) -> None:
    health = system.ask("GET", "/health", 200, 503).json()
    down = [
        f"{name} is {part['status']} ({part['detail']})"
        for name, part in health["dependencies"].items()
        if part["status"] != "up"
    ]
    if down:
        raise Broken("; ".join(down))


def _explains_errors(system: System) -> None:
    answer = system.ask("GET", f"/{system.run}", 404)
    kind = answer.headers.get("Content-Type")
    if kind != "application/problem+json":
        raise Broken(f"the answer 404 is {kind}")
    if answer.json().get("request_id") != system.request_id:
        raise Broken("the answer 404 does not name its request")


def _refuses_nobody(plan: Plan, has_token: bool, system: System) -> None:
    path = next(iter(plan.lists), None)
    if path is None:
        raise Skipped("this release has no list to ask for")
    answer = system.ask_without_token(path)
    if answer.status_code == 401:
        if "WWW-Authenticate" not in answer.headers:
            raise Broken("the answer 401 does not say how to authenticate")
        if not has_token:
            raise Broken("authentication is on: the other promises need a token")
    elif has_token:
        raise Broken(f"{answer.status_code} without a token: authentication is off")
    else:
        raise Skipped("authentication is off: everybody may call")


def _example_of(service: ServicePlan, example: Example | None) -> Example:
    if not service.is_tried:
        raise Skipped("app.core.services says is_tried=False")
    return _needed(example)


def _needed(example: Example | None) -> Example:
    if example is None:
        raise Skipped("no endpoint does this")
    return example


def _answers_at_once(service: ServicePlan, system: System) -> None:
    example = _example_of(service, service.at_once)
    answer = system.send(example, 200, 201)
    place = answer.headers.get("Location", "")
    if place.startswith(RECORDS):
        stored = system.read(place)
        if stored["outcome"] != answer.json()["outcome"]:
            raise Broken(f"{place} has another outcome than the answer")


def _does_work(service: ServicePlan, system: System) -> None:
    _accept_and_wait(system, _example_of(service, service.later))


def _accept_and_wait(system: System, example: Example) -> str:
    answer = system.send(example, 202)
    state = system.read(answer.headers["Location"], wait=system.patience)
    if state["task_status"] == "Processing":
        detail = state.get("detail") or "in progress"
        raise Broken(f"still {detail} after {system.patience:g} s")
    if state["task_status"] != "Success":
        raise Broken(f"ended in {state['task_status']}: {state['outcome']}")
    return str(state["task_id"])


def _keeps_key(plan: Plan, example: Example | None, system: System) -> None:
    example = _needed(example)
    key = {idempotency.HEADER: str(uuid4())}
    first, second = (system.send(example, 200, 201, **key) for _ in range(2))
    if second.headers.get(idempotency.REPLAYED) != "true":
        raise Broken("the second request was processed again")
    if first.content != second.content:
        raise Broken("the second answer differs from the first one")
    if LOGS in plan.paths:
        wanted = {"correlation_id": system.request_id, "status": "start"}
        calls = system.read(LOGS, **wanted)
        if len(calls) != 1:
            raise Broken(f"two requests made {len(calls)} calls of the service")


def _logs_events(example: Example | None, system: System) -> None:
    task_id = _accept_and_wait(system, _needed(example))
    events = system.read(EVENTS, task_id=task_id)
    _compare([each["type"] for each in events])


def _streams_events(example: Example | None, system: System) -> None:
    accepted = system.send(_needed(example), 202).json()
    with system.stream(STREAM, task_id=accepted["task_id"]) as types:
        _compare(list(types))


def _compare(types: list[str]) -> None:
    if types != HISTORY:
        raise Broken(f"the events are {', '.join(types) or 'missing'}")


def _lists_rows(path: str, system: System) -> None:
    rows: Any = system.read(path)
    if not isinstance(rows, list):
        raise Broken("the answer is no list")


def _measures_queues(system: System) -> None:
    metrics = system.read(METRICS)
    if metrics["queues_error"]:
        raise Broken(metrics["queues_error"])


def _deletes_records(system: System) -> None:
    for task_id in list(system.made):
        place = f"{RECORDS}/{task_id}"
        try:
            system.ask("DELETE", place, 204)
            system.ask("GET", place, 404)
        except Broken as error:
            left = ", ".join(system.made)
            raise Broken(f"{error}; still there: {left}") from None
        system.made.remove(task_id)
