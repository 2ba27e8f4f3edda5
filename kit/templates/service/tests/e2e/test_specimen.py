"""The speci men service, through nginx."""

import json
from typing import Any
from uuid import uuid4

import pytest

from tests.e2e.client import Api, assert_problem

URL = "/api/v1/speci-men/process"
BODY = b'{"payload": {"text": "hello ", "times": 2}}'
OUTCOME = {"text": "hello hello ", "length": 12}


def test_at_once(api: Api) -> None:
    answer = api.send(URL, BODY)
    assert answer.status_code == 200, answer.text
    assert answer.json()["outcome"] == OUTCOME
    record = api.get_json(answer.headers["Location"])
    assert (record["task_type"], record["outcome"]) == ("specimen", OUTCOME)


def test_later(api: Api) -> None:
    answer = api.send(f"{URL}-async", BODY)
    assert answer.status_code == 202, answer.text
    state = api.get_json(answer.headers["Location"], wait=30)
    assert (state["task_status"], state["outcome"]) == ("Success", OUTCOME)


@pytest.mark.parametrize("path", [URL, f"{URL}-async"])
def test_twice_under_one_key_is_once(api: Api, path: str) -> None:
    key = {"Idempotency-Key": str(uuid4())}
    first, second = (api.send(path, BODY, **key) for _ in range(2))
    assert first.is_success, first.text
    assert (second.status_code, second.content) == (first.status_code, first.content)
    assert second.headers["Location"] == first.headers["Location"]
    assert second.headers["Idempotency-Replayed"] == "true"


@pytest.mark.parametrize(
    ("payload", "field"),
    [({}, "text"), ({"text": ""}, "text"), ({"text": "a", "times": 0}, "times")],
)
def test_a_field_that_fails_is_named(api: Api, payload: Any, field: str) -> None:
    for path in (URL, f"{URL}-async"):
        answer = api.send(path, json.dumps({"payload": payload}).encode())
        assert_problem(answer, 422, "invalid_values")
        assert answer.json()["detail"].startswith(f"body.payload.{field}: ")


def test_what_the_service_refuses(api: Api) -> None:
    payload = {"text": "x" * 1_000, "times": 11}
    answer = api.send(URL, json.dumps({"payload": payload}).encode())
    assert_problem(answer, 422, "too_long")
