"""A POST that is repeated with its key is done once, whatever dies meanwhile."""

import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from uuid import uuid4

import httpx2
import pytest
from httpx2 import Response

from local import apps
from local.ports import free_port
from local.servers.redis import KeysRedis, Redis
from local.stack import Stack
from local.state import State
from tests.e2e.client import (
    LOGS,
    PROCESS,
    PROCESS_ASYNC,
    RECORDS,
    Api,
    assert_problem,
    exact,
    wait_for,
)

LEASE = 4.0


@pytest.fixture
def key() -> str:
    """A new key; also the payload, to find its records."""
    return str(uuid4())


@pytest.fixture
def impatient(state: State, stack: Stack) -> Iterator[apps.App]:
    """A separate API process with a short lease."""
    env = {
        **stack.env,
        "RPC_TIMEOUT_SECONDS": "2",
        "DB_TIMEOUT_SECONDS": "1",
        "IDEMPOTENCY_LEASE_SECONDS": str(LEASE),
    }
    server = apps.api("api-short-lease", state, env, free_port())
    server.start()
    yield server
    server.stop()


def send(api: Api, key: str, path: str = PROCESS) -> Response:
    body = b'{"payload": "%s", "description": "uppercase"}' % key.encode()
    return api.send(path, body, **{"Idempotency-Key": f'"{key}"'})


def entry(key: str) -> str:
    """The key's name in Redis."""
    return f"idempotency:2:{key}"


Records = Callable[[str], list[str]]


@pytest.fixture
def records(api: Api) -> Records:
    """The ids of the records that the test created with a payload."""
    newest = api.newest(RECORDS)

    def records(payload: str) -> list[str]:
        rows = api.rows_since(newest, RECORDS)
        return [row["task_id"] for row in rows if row["payload"] == payload]

    return records


@pytest.mark.promise(
    "ARCHITECTURE.md", "A POST with an `Idempotency-Key` is executed once"
)
def test_a_hundred_at_once_are_one(api: Api, key: str, records: Records) -> None:
    with ThreadPoolExecutor(100) as pool:
        answers = list(pool.map(lambda _: send(api, key), range(100)))

    done = [answer for answer in answers if answer.status_code == 200]
    first = [a for a in done if "Idempotency-Replayed" not in a.headers]
    assert len(first) == 1
    assert {answer.content for answer in done} == {first[0].content}
    for answer in answers:
        if answer.status_code != 200:
            assert_problem(answer, 409, "idempotency_key_in_flight")
            assert int(answer.headers["Retry-After"]) > 0
    task_id = first[0].headers["Location"].rpartition("/")[2]
    assert records(key) == [task_id]
    assert len(api.get_json(LOGS, task_id=task_id, status="start")) == 1


@pytest.mark.parametrize("path", [PROCESS, PROCESS_ASYNC])
def test_the_answer_is_given_again(
    api: Api, key: str, path: str, records: Records
) -> None:
    first, second = send(api, key, path), send(api, key, path)

    assert first.status_code in (200, 202)
    assert second.status_code == first.status_code
    assert second.content == first.content
    for header in ("Location", "Content-Type"):
        assert second.headers[header] == first.headers[header]
    assert second.headers["Idempotency-Replayed"] == "true"
    assert second.headers["X-Request-ID"] != first.headers["X-Request-ID"]
    assert len(records(key)) == 1


VALUES = '[1e16, -0.0, 0.1, 1%s, "é \\u2028 \\"", {"b": null, "a": []}]' % ("0" * 40)


@pytest.mark.parametrize("count", [1, 5000])
def test_an_answer_is_rebuilt_from_its_record(
    api: Api, key: str, redis_keys: KeysRedis, count: int
) -> None:
    """The answer is the same in every byte, and almost nothing of it is in Redis."""
    payload = "[" + ",".join([VALUES] * count) + "]"
    body = b'{"payload": %s}' % payload.encode()
    first = api.send(PROCESS, body, **{"Idempotency-Key": key})
    assert first.status_code == 200, first.text[:300]
    second = api.send(PROCESS, body, **{"Idempotency-Key": key})

    assert second.headers["Idempotency-Replayed"] == "true"
    assert (second.status_code, second.content) == (200, first.content)
    for header in ("Location", "Content-Type"):
        assert second.headers[header] == first.headers[header]
    with redis_keys.connect() as redis:
        assert redis.strlen(entry(key)) < 500
    record = api.get_json(first.headers["Location"])
    assert exact(record["outcome"]) == exact(first.json()["outcome"])


def test_a_record_that_was_deleted_is_answered_no_more(
    api: Api, key: str, records: Records
) -> None:
    location = send(api, key).headers["Location"]
    assert api.http.delete(location).status_code == 204

    again = send(api, key)

    assert_problem(again, 409, "idempotency_answer_not_kept")
    assert "deleted" in again.json()["detail"]
    assert records(key) == []


def test_a_refusal_is_replayed(api: Api, key: str) -> None:
    body = b'{"payload": [1, "a"], "description": "sort"}'
    first = api.send(PROCESS, body, **{"Idempotency-Key": key})
    assert_problem(first, 422, "unsortable_list")
    second = api.send(PROCESS, body, **{"Idempotency-Key": key})
    assert (second.status_code, second.content) == (422, first.content)
    assert second.headers["Idempotency-Replayed"] == "true"


def test_a_key_belongs_to_one_request(api: Api, key: str) -> None:
    assert send(api, key).status_code == 200
    assert_problem(send(api, key, PROCESS_ASYNC), 422, "idempotency_key_reused")
    other = api.send(PROCESS, b'{"payload": 1}', **{"Idempotency-Key": key})
    assert_problem(other, 422, "idempotency_key_reused")


@pytest.mark.parametrize("malformed", ["", "two words", '"open', "a,b", "x" * 256])
def test_malformed_keys(api: Api, malformed: str) -> None:
    answer = api.send(PROCESS, b'{"payload": 1}', **{"Idempotency-Key": malformed})
    assert_problem(answer, 400, "malformed_header")


@pytest.mark.promise(
    "docs/adr/0010-idempotency-fails-closed.md",
    "its unique task id prevents a second insert",
)
@pytest.mark.parametrize("path", [PROCESS, PROCESS_ASYNC])
def test_stored_but_forgotten_by_redis(
    api: Api, key: str, path: str, redis_keys: KeysRedis, records: Records
) -> None:
    """A process has died between its commit and its answer, and the lease has ended."""
    first = send(api, key, path)
    with redis_keys.connect() as redis:
        assert redis.delete(entry(key)) == 1

    second = send(api, key, path)

    assert "Idempotency-Replayed" not in second.headers
    assert (second.status_code, second.content) == (first.status_code, first.content)
    assert second.headers["Location"] == first.headers["Location"]
    assert len(records(key)) == 1


@pytest.mark.promise(
    "docs/adr/0010-idempotency-fails-closed.md",
    "The task id is derived from the key, so a retry after a crash finds the "
    "first record.",
)
def test_killed_while_holding_a_key(
    api: Api,
    key: str,
    stack: Stack,
    impatient: apps.App,
    redis_keys: KeysRedis,
    records: Records,
) -> None:
    direct = Api(f"http://127.0.0.1:{impatient.port}")
    another = Api(stack.api_url)  # another API, already running when the lease ends
    with ThreadPoolExecutor(1) as pool, redis_keys.connect() as redis:
        stack.service("dataservice").pause()
        try:
            lost = pool.submit(send, direct, key)
            wait_for(lambda: redis.exists(entry(key)) == 1, "the claim")
            impatient.kill()
            with pytest.raises(httpx2.TransportError):
                lost.result()
        finally:
            stack.service("dataservice").resume()

    assert_problem(send(another, key), 409, "idempotency_key_in_flight")

    def done() -> Response | None:
        answer = send(another, key)
        return answer if answer.status_code != 409 else None

    answer = wait_for(done, "the end of the lease", within=LEASE + 2)
    direct.close()
    another.close()
    impatient.start()
    assert answer.status_code == 200, answer.text
    assert records(key) == [answer.headers["Location"].rpartition("/")[2]]


def test_the_redis_of_keys_stopped(
    api: Api, key: str, redis_keys: KeysRedis, records: Records
) -> None:
    redis_keys.stop()
    try:
        waits = []
        for _ in range(3):
            began = time.monotonic()
            answer = send(api, key)
            waits.append(time.monotonic() - began)
            assert_problem(answer, 503, "idempotency_unavailable")
        assert min(waits) < 1  # this machine may be busy at times
        assert records(key) == []
        assert_others_are_served(api)
        assert api.http.get("/health/ready").status_code == 200
    finally:
        redis_keys.start()
    assert send(api, key).status_code == 200


def assert_others_are_served(api: Api) -> None:
    """Requests without a key succeed, by both endpoints."""
    for work in (api.process, api.process_async):
        assert work("no key", "uppercase")["outcome"]["output"] == "NO KEY"


@pytest.fixture
def crowded(state: State, stack: Stack) -> Iterator[tuple[Api, KeysRedis]]:
    """An API process whose Redis for keys has room for only a few."""
    small = KeysRedis(state, free_port(), maxmemory="2mb", name="small")
    small.start()
    env = {**stack.env, "IDEMPOTENCY_REDIS_URL": small.url()}
    server = apps.api("api-crowded", state, env, free_port())
    server.start()
    api = Api(f"http://127.0.0.1:{server.port}")
    yield api, small
    api.close()
    server.stop()
    small.kill()


def test_a_full_redis_of_keys(
    crowded: tuple[Api, KeysRedis], key: str, records: Records
) -> None:
    api, small = crowded
    with small.full():
        answer = send(api, key)

        assert_problem(answer, 503, "idempotency_unavailable")
        assert "is full" in answer.json()["detail"]
        assert records(key) == []
        assert_others_are_served(api)
        assert api.http.get("/health/ready").status_code == 200
    assert send(api, key).status_code == 200


def test_many_large_answers_do_not_affect_celery(
    api: Api, redis_server: Redis, redis_keys: KeysRedis
) -> None:
    """If a Redis kept these, it would grow by 12 MB at least."""
    large = b'{"payload": "%s", "description": "uppercase"}' % (b"x" * 64 * 1024)
    before, room = used(redis_server), used(redis_keys)

    def work(number: int) -> int:
        name = f"{key_of_run}-{number}"
        return api.send(PROCESS, large, **{"Idempotency-Key": name}).status_code

    key_of_run = uuid4()
    with ThreadPoolExecutor(16) as pool:
        assert set(pool.map(work, range(200))) == {200}

    with redis_server.connect() as redis:
        assert redis.keys("idempotency*") == []
    assert used(redis_server) - before < 1_000_000
    assert used(redis_keys) - room < 2_000_000
    assert api.process_async("later", "uppercase")["outcome"]["output"] == "LATER"


def used(server: Redis) -> int:
    """The bytes of Redis' data."""
    with server.connect() as redis:
        return int(redis.info("memory")["used_memory_dataset"])
