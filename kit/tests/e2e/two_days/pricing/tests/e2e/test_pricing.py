"""The pricing service, through nginx."""

import json
from typing import Any
from uuid import uuid4

import pytest

from tests.e2e.client import Api, assert_problem

URL = "/api/v1/pricing/process"
BODY = b'{"payload": {"sku": "apple", "quantity": 4}}'
OUTCOME = {"sku": "APPLE", "total": 100}


def body(sku: Any, quantity: Any) -> bytes:
    return json.dumps({"payload": {"sku": sku, "quantity": quantity}}).encode()


def test_at_once(api: Api) -> None:
    answer = api.send(URL, BODY)
    assert answer.status_code == 200, answer.text
    assert answer.json()["outcome"] == OUTCOME
    record = api.get_json(answer.headers["Location"])
    assert (record["task_type"], record["outcome"]) == ("pricing", OUTCOME)


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


@pytest.mark.parametrize(("sku", "quantity"), [(7, 1), ("", 1), ("apple", "many")])
def test_another_form_is_refused(api: Api, sku: Any, quantity: Any) -> None:
    assert_problem(api.send(URL, body(sku, quantity)), 422, "invalid_values")


def test_what_the_service_refuses(api: Api) -> None:
    assert_problem(api.send(URL, body("apple", 0)), 422, "too_few")
    accepted = api.send(f"{URL}-async", body("apple", 0))
    assert accepted.status_code == 202, accepted.text
    state = api.get_json(accepted.headers["Location"], wait=30)
    assert (state["task_status"], state["outcome"]["code"]) == ("Failure", "too_few")
