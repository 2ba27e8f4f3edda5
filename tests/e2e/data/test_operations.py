"""Every operation of the data service, by both endpoints."""

from typing import Any

import pytest

from tests.e2e.client import PROCESS, PROCESS_ASYNC, Api, assert_problem, exact

# payload, description, output, task_type
OPERATIONS: list[tuple[Any, str | None, Any, str]] = [
    ("hello world", "uppercase", "HELLO WORLD", "string"),
    ("hello world", "reverse", "dlrow olleh", "string"),
    ("hello world", None, "Processed: hello world", "string"),
    ("hello world", "no such operation", "Processed: hello world", "string"),
    ("hello world", "square", "Processed: hello world", "string"),
    ("hello world", "UpperCase", "HELLO WORLD", "string"),
    ("", "reverse", "", "string"),
    (12, "square", 144, "number"),
    (1.5, "square", 2.25, "number"),
    (12, "double", 24, "number"),
    (-0.25, "double", -0.5, "number"),
    (10**30, "SQUARE", 10**60, "number"),
    (7, None, 7, "number"),
    ([1, "two", None], "reverse", [None, "two", 1], "list"),
    ([3, 1.5, 2], "sort", [1.5, 2, 3], "list"),
    (["b", "a", "C"], "sort", ["C", "a", "b"], "list"),
    ([], "sort", [], "list"),
    ([1, [2]], None, {"count": 2, "items": [1, [2]]}, "list"),
    (
        {"b": 1, "a": [2]},
        None,
        {"data": {"b": 1, "a": [2]}, "processed": True, "keys_count": 2},
        "dict",
    ),
    ({}, "reverse", {"data": {}, "processed": True, "keys_count": 0}, "dict"),
    (True, None, {"value": True, "processed": True}, "generic"),
    (False, "double", {"value": False, "processed": True}, "generic"),
    (None, "uppercase", {"value": None, "processed": True}, "generic"),
]

# Valid JSON that the service refuses: payload, description, code
REFUSED: list[tuple[Any, str, str]] = [
    ([1, "a"], "sort", "unsortable_list"),
    ([[1], [2]], "sort", "unsortable_list"),
    ([True, 1], "sort", "unsortable_list"),
    ([None, None], "sort", "unsortable_list"),
    (1e200, "square", "not_finite"),
    (-1.7e308, "double", "not_finite"),
]


@pytest.mark.parametrize("way", ["process", "process_async"])
@pytest.mark.parametrize(("payload", "description", "output", "task_type"), OPERATIONS)
def test_each_operation_returns_its_output(
    api: Api,
    way: str,
    payload: Any,
    description: str | None,
    output: Any,
    task_type: str,
) -> None:
    record = getattr(api, way)(payload, description)

    assert exact(record["payload"]) == exact(payload)
    assert record["description"] == description
    assert record["task_status"] == "Success"
    assert record["task_type"] == task_type
    outcome = record["outcome"]
    assert outcome["status"] == "success"
    assert exact(outcome["input"]) == exact(payload)
    assert exact(outcome["output"]) == exact(output)
    assert outcome["processed_at"]
    assert outcome["metadata"]["input_length"] >= 0
    assert outcome["metadata"]["processing_time_ms"] >= 0


@pytest.mark.parametrize(("payload", "description", "code"), REFUSED)
def test_impossible_work_is_refused_at_once(
    api: Api, payload: Any, description: str, code: str
) -> None:
    assert_problem(api.post(PROCESS, payload, description), 422, code)


@pytest.mark.parametrize(("payload", "description", "code"), REFUSED)
def test_impossible_work_that_was_accepted_ends_as_a_failure(
    api: Api, payload: Any, description: str, code: str
) -> None:
    record = api.process_async(payload, description)

    assert record["task_status"] == "Failure"
    assert record["outcome"]["code"] == code
    assert exact(record["payload"]) == exact(payload)


@pytest.mark.parametrize("priority", ["high", "default", "low"])
def test_a_status_can_wait_for_the_end(api: Api, priority: str) -> None:
    body = b'{"payload": "x", "description": "uppercase", "priority": "%s"}'
    accepted = api.send(PROCESS_ASYNC, body % priority.encode())
    assert accepted.status_code == 202, accepted.text

    result = api.get_json(accepted.headers["Location"], wait=30)

    assert result["task_status"] == "Success"
    assert result["outcome"]["output"] == "X"
