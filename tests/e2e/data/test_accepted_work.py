"""A 202 is a promise: every accepted task ends once with the right result, whatever
breaks."""

import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field

import psutil
import pytest

from local.servers.postgres import PostgreSQL
from local.servers.rabbitmq import RabbitMQ
from local.servers.redis import Redis
from local.stack import Stack
from tests.e2e.client import PROCESS_ASYNC, RECORDS, Api, wait_for

TASKS = 500


@dataclass
class Ledger:
    """The accepted tasks, and their results."""

    api: Api
    stack: Stack
    accepted: dict[str, str] = field(default_factory=dict)
    longest: float = 0.0

    def submit(self, count: int = TASKS) -> None:
        """Submit tasks from several clients at once, each with its own payload."""
        with ThreadPoolExecutor(16) as clients:
            for _ in clients.map(self._submit, range(count)):
                pass

    def _submit(self, number: int) -> None:
        payload = f"task {number}"
        started = time.monotonic()
        answer = self.api.post(PROCESS_ASYNC, payload, "reverse")
        self.longest = max(self.longest, time.monotonic() - started)
        if answer.status_code == 202:
            self.accepted[answer.json()["task_id"]] = payload
        else:
            assert answer.status_code == 503, answer.text

    def count(self, detail: str) -> int:
        """The number of tasks in that state."""
        states = [
            self.api.get_json(f"{PROCESS_ASYNC}/{task_id}")
            for task_id in list(self.accepted)
        ]
        return sum(state.get("detail") == detail for state in states)

    def check(self, within: float) -> None:
        """Every accepted task has one record, in its final state, with its outcome."""
        assert self.accepted
        until = time.monotonic() + within
        for task_id, payload in self.accepted.items():
            # A supervisor does this: Celery may end when its broker goes.
            self.stack.worker.start()
            result = self.api.wait_ended(task_id, until - time.monotonic())
            assert result["task_status"] == "Success", result
            assert result["outcome"]["output"] == payload[::-1]
            record = self.api.get_json(f"{RECORDS}/{task_id}")
            assert record["payload"] == payload


@pytest.fixture
def ledger(api: Api, stack: Stack) -> Ledger:
    return Ledger(api, stack)


@pytest.fixture(autouse=True)
def whole(
    api: Api,
    stack: Stack,
    postgres: PostgreSQL,
    redis_server: Redis,
    rabbitmq: RabbitMQ,
) -> Iterator[None]:
    """Repairs afterwards what the test broke."""
    yield
    for server in (postgres, redis_server, rabbitmq, *stack.processes):
        server.resume()
        server.start()
    wait_for(
        lambda: api.http.get("/health").json()["status"] == "ok", "health", within=60
    )


def workers_children(stack: Stack) -> list[psutil.Process]:
    return psutil.Process(stack.worker.child.pid).children()


def kill_child(stack: Stack) -> None:
    workers_children(stack)[0].kill()


def kill_worker(stack: Stack) -> None:
    stack.worker.kill()
    stack.worker.start()


def stop_worker(stack: Stack) -> None:
    stack.worker.stop()
    stack.worker.start()


def kill_data_service(stack: Stack) -> None:
    stack.service("dataservice").kill()
    stack.service("dataservice").start()


@pytest.mark.chaos
@pytest.mark.timeout(300)  # its work has two minutes to end
@pytest.mark.parametrize(
    "breaks", [kill_child, kill_worker, stop_worker, kill_data_service]
)
def test_one_of_our_processes_ends(
    ledger: Ledger, stack: Stack, breaks: Callable[[Stack], None]
) -> None:
    with ThreadPoolExecutor(1) as clients:
        submitting = clients.submit(ledger.submit)
        wait_for(lambda: len(ledger.accepted) > 50, "some tasks")
        breaks(stack)
        submitting.result()
    assert len(ledger.accepted) == TASKS
    ledger.check(within=150)


@pytest.mark.chaos
@pytest.mark.timeout(300)  # its work has two minutes to end
def test_a_child_hangs_beyond_the_time_limit(ledger: Ledger, stack: Stack) -> None:
    child = workers_children(stack)[0]
    with ThreadPoolExecutor(1) as clients:
        submitting = clients.submit(ledger.submit)
        wait_for(lambda: len(ledger.accepted) > 50, "some tasks")
        stack.service("dataservice").pause()  # so that the child holds a task
        wait_for(lambda: ledger.count("started") == 2, "a task for each child")
        child.suspend()
        stack.service("dataservice").resume()
        submitting.result()
    wait_for(lambda: not child.is_running(), "the worker to kill it")
    ledger.check(within=150)


def test_a_stopped_worker_hands_back_unfinished_tasks(
    ledger: Ledger, stack: Stack, api: Api
) -> None:
    stack.service("dataservice").pause()
    ledger.submit(4)
    first = next(iter(ledger.accepted))
    wait_for(
        lambda: api.get_json(f"{PROCESS_ASYNC}/{first}")["detail"] == "started",
        "the worker to take a task",
    )
    started = time.monotonic()
    stack.worker.stop()
    assert time.monotonic() - started < 12  # the grace is 2 s here
    stack.service("dataservice").resume()
    stack.worker.start()
    ledger.check(within=30)  # sooner than by the visibility timeout, 45 s here


@pytest.mark.chaos
@pytest.mark.timeout(300)  # its work has two minutes to end
@pytest.mark.parametrize("name", ["redis_server", "rabbitmq", "postgres"])
def test_a_server_is_killed_and_restarted(
    ledger: Ledger, name: str, request: pytest.FixtureRequest
) -> None:
    server = request.getfixturevalue(name)
    with ThreadPoolExecutor(1) as clients:
        submitting = clients.submit(ledger.submit)
        wait_for(lambda: len(ledger.accepted) > 50, "some tasks")
        server.kill()
        server.start()
        submitting.result()
    ledger.check(within=150)


@pytest.mark.promise("docs/TASKS.md", "Redis is flushed")
@pytest.mark.chaos
@pytest.mark.timeout(300)  # its work has two minutes to end
def test_redis_is_flushed(ledger: Ledger, redis_server: Redis) -> None:
    with ThreadPoolExecutor(1) as clients:
        submitting = clients.submit(ledger.submit)
        wait_for(lambda: len(ledger.accepted) > 100, "some tasks")
        redis_server.connect().flushall()
        submitting.result()
        redis_server.connect().flushall()
    assert len(ledger.accepted) == TASKS
    ledger.check(within=150)


@pytest.mark.timeout(240)  # as its work has 150 s
def test_redis_hangs(ledger: Ledger, redis_server: Redis, api: Api) -> None:
    ledger.submit(20)
    redis_server.pause()
    try:
        ledger.submit(20)
        assert ledger.longest < 5  # bounded, and still accepted
        state = api.get_json(f"{PROCESS_ASYNC}/{next(iter(ledger.accepted))}")
        assert state["task_status"] in ("Processing", "Success")
    finally:
        redis_server.resume()
    assert len(ledger.accepted) == 40
    ledger.check(within=150)


def test_high_priority_runs_before_low(api: Api, stack: Stack) -> None:
    stack.worker.stop()
    ids: dict[str, list[str]] = {"low": [], "default": [], "high": []}
    for priority, of_priority in ids.items():
        for _ in range(20):
            body = b'{"payload": "x", "priority": "%b"}' % priority.encode()
            of_priority.append(api.send(PROCESS_ASYNC, body).json()["task_id"])
    stack.worker.start()

    def median_end(task_ids: list[str]) -> str:
        ends = []
        for task_id in task_ids:
            api.wait_ended(task_id)
            ends.append(str(api.get_json(f"{RECORDS}/{task_id}")["updated_at"]))
        return sorted(ends)[len(ends) // 2]

    assert median_end(ids["high"]) < median_end(ids["default"]) < median_end(ids["low"])


def test_one_request_waits_for_the_end(api: Api) -> None:
    task_id = api.post(PROCESS_ASYNC, "x", "uppercase").json()["task_id"]
    state = api.get_json(f"{PROCESS_ASYNC}/{task_id}", wait=30)
    assert state["task_status"] == "Success"


def test_waiting_is_limited(api: Api, stack: Stack) -> None:
    stack.worker.stop()
    task_id = api.post(PROCESS_ASYNC, "x", "uppercase").json()["task_id"]
    started = time.monotonic()
    state = api.get_json(f"{PROCESS_ASYNC}/{task_id}", wait=1)
    assert 1 <= time.monotonic() - started < 8
    assert state == {
        "task_id": task_id,
        "task_status": "Processing",
        "outcome": None,
        "detail": "queued",
    }


def test_refused_work_fails_with_its_reason(api: Api) -> None:
    task_id = api.post(PROCESS_ASYNC, [1, "a"], "sort").json()["task_id"]
    state = api.wait_ended(task_id)
    assert state["task_status"] == "Failure"
    assert state["outcome"]["code"] == "unsortable_list"
