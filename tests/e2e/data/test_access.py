"""Callers with tokens through nginx, API, services and worker."""

import base64
import json
from uuid import uuid4

import pytest
from sqlalchemy import create_engine, text

from local.servers.redis import Redis
from local.stack import Stack
from local.state import State
from tests.e2e.client import (
    LOGS,
    PROCESS,
    PROCESS_ASYNC,
    RECORDS,
    Api,
    assert_problem,
    wait_for,
)
from tests.e2e.guarded import Guarded

BODY = b'{"payload": "hello", "description": "uppercase"}'


@pytest.mark.promise(
    "docs/SECURITY.md",
    "Everybody else gets 404 for it, as if it did not exist, and lists leave it out.",
)
def test_a_record_is_its_owners(alice: Api, bob: Api, admin: Api, nobody: Api) -> None:
    now = alice.send(PROCESS, BODY)
    later = alice.send(PROCESS_ASYNC, BODY)
    task_id = later.json()["task_id"]
    alice.wait_ended(task_id)
    places = [now.headers["Location"], later.headers["Location"]]
    for place in (*places, f"{RECORDS}/{task_id}", f"{places[1]}?wait=30"):
        assert alice.http.get(place).status_code == 200
        assert admin.http.get(place).status_code == 200
        assert_problem(bob.http.get(place), 404, "not_found")
        assert_problem(nobody.http.get(place), 401, "unauthenticated")
    for place in (places[0], f"{RECORDS}/{task_id}"):
        assert_problem(bob.http.delete(place), 404, "not_found")
        assert alice.http.delete(place).status_code == 204


@pytest.mark.promise(
    "docs/SECURITY.md", "The worker's log rows have the owner of the record."
)
def test_the_log_of_accepted_work_is_its_owners(
    alice: Api, bob: Api, admin: Api
) -> None:
    task_id = alice.send(PROCESS_ASYNC, BODY).json()["task_id"]
    alice.wait_ended(task_id)
    rows = alice.get_json(LOGS, task_id=task_id)
    assert rows and rows == admin.get_json(LOGS, task_id=task_id)
    assert bob.get_json(LOGS, task_id=task_id) == []


@pytest.mark.parametrize("path", [PROCESS, PROCESS_ASYNC])
def test_one_key_of_two_callers(alice: Api, bob: Api, path: str) -> None:
    key = {"Idempotency-Key": str(uuid4())}
    answers = [each.send(path, BODY, **key) for each in (alice, bob, alice)]
    first, other, again = [each.headers["Location"] for each in answers]
    assert first == again != other
    replayed = [each.headers.get("Idempotency-Replayed") for each in answers]
    assert replayed == [None, None, "true"]


@pytest.mark.promise(
    "docs/SECURITY.md", "No log line, span, message or row contains it."
)
def test_the_caller_is_in_every_log_and_the_token_nowhere(
    guarded: Guarded, stack: Stack, state: State
) -> None:
    user = f"user-{uuid4()}"
    token = guarded.token(user)
    client = Api(guarded.url, token)
    key = {"Idempotency-Key": str(uuid4())}
    accepted = client.send(PROCESS_ASYNC, BODY, **key)
    assert accepted.status_code == 202, accepted.text
    client.wait_ended(accepted.json()["task_id"])
    client.close()
    for name in ("guarded-api", "worker", "dataservice"):

        def has_caller(name: str = name) -> bool:
            return f'"enduser.id": "{user}"' in state.log(name).read_text()

        wait_for(has_caller, f"a line of {name} with the caller")
    _, claims, signature = token.split(".")
    for log in (state.path / "logs").iterdir():
        for part in (claims, signature):
            assert part not in log.read_text(errors="replace"), log
    engine = create_engine(stack.env["DATABASE_URL"])
    with engine.connect() as connection:
        for table in ("data_processing_records", "task_logs"):
            found = f"SELECT count(*) FROM {table} AS r WHERE r::text LIKE :part"
            for part in (user, signature, claims):
                count = connection.execute(text(found), {"part": f"%{part}%"}).scalar()
                assert bool(count) is (part == user), f"{table}: {part}"
    engine.dispose()


@pytest.mark.promise(
    "docs/RPC.md",
    "the subject of the caller's token; absent without authentication, never the "
    "token",
)
@pytest.mark.promise(
    "docs/SECURITY.md", "No log line, span, message or row contains it."
)
def test_messages_hold_the_subject_alone(
    guarded: Guarded, stack: Stack, redis_server: Redis
) -> None:
    """What waits in Redis for a worker."""
    user = f"user-{uuid4()}"
    token = guarded.token(user)
    client = Api(guarded.url, token)
    stack.worker.stop()
    try:
        accepted = client.send(PROCESS_ASYNC, BODY)
        with redis_server.connect() as redis:
            lists = [name for name in redis.keys() if redis.type(name) == b"list"]
            waiting = [m for name in lists for m in redis.lrange(name, 0, -1)]
    finally:
        stack.worker.start()
    texts = [each.decode() + decoded(each) for each in waiting]
    assert any(user in each for each in texts)
    assert not any(part in each for part in token.split(".") for each in texts)
    client.wait_ended(accepted.json()["task_id"])
    client.close()


def decoded(message: bytes) -> str:
    """The arguments of a task."""
    return base64.b64decode(json.loads(message)["body"]).decode()
