import json
from datetime import datetime, timedelta
from types import SimpleNamespace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from app import data_service
from app.data_service import DataService
from chassis import json_text
from chassis.errors import ServiceError
from tests.unit.strategies import floats, integers, text, values

service = DataService()


def call(payload: Any, description: str | None = None) -> tuple[dict[str, Any], str]:
    request = {"payload": payload, "description": description}
    outcome, task_type = service.call(json.dumps(request))
    return json.loads(outcome), task_type


def refusal(request: str) -> str:
    with pytest.raises(ServiceError) as caught:
        service.call(request)
    return caught.value.code


@pytest.mark.parametrize(
    ("payload", "description", "output", "task_type", "operation", "length"),
    [
        ("hello", "uppercase", "HELLO", "string", "uppercase", 5),
        ("straße", "uppercase", "STRASSE", "string", "uppercase", 6),
        ("hello", "reverse", "olleh", "string", "reverse", 5),
        ("", "reverse", "", "string", "reverse", 0),
        ("hello", None, "Processed: hello", "string", "prefix", 5),
        (7, "square", 49, "number", "square", 1),
        (-2.5, "square", 6.25, "number", "square", 4),
        (7, "double", 14, "number", "double", 1),
        (0.25, "double", 0.5, "number", "double", 4),
        (10**999, "square", 10**1998, "number", "square", 1000),
        (1.5, None, 1.5, "number", "echo", 3),
        ([3, 1, 2], "reverse", [2, 1, 3], "list", "reverse", 3),
        ([None, {}], "reverse", [{}, None], "list", "reverse", 2),
        ([3, 1.5, -2], "sort", [-2, 1.5, 3], "list", "sort", 3),
        (["b", "a"], "sort", ["a", "b"], "list", "sort", 2),
        ([True, False], "sort", [False, True], "list", "sort", 2),
        ([], "sort", [], "list", "sort", 0),
        ([1, "a"], None, {"count": 2, "items": [1, "a"]}, "list", "describe", 2),
        (
            {"a": 1, "b": 2},
            None,
            {"data": {"a": 1, "b": 2}, "processed": True, "keys_count": 2},
            "dict",
            "describe",
            2,
        ),
        (True, None, {"value": True, "processed": True}, "generic", "wrap", 4),
        (None, None, {"value": None, "processed": True}, "generic", "wrap", 4),
    ],
)
def test_operations(
    payload: Any,
    description: str | None,
    output: Any,
    task_type: str,
    operation: str,
    length: int,
) -> None:
    outcome, kind = call(payload, description)
    assert kind == task_type
    assert outcome["status"] == "success"
    assert outcome["input"] == payload
    assert outcome["output"] == output
    assert type(outcome["output"]) is type(output)
    assert outcome["metadata"]["operation"] == operation
    assert outcome["metadata"]["input_length"] == length
    assert 0 <= outcome["metadata"]["processing_time_ms"] < 1000
    processed_at = datetime.fromisoformat(outcome["processed_at"])
    assert processed_at.utcoffset() == timedelta(0)


def test_the_time_is_in_milliseconds(monkeypatch: pytest.MonkeyPatch) -> None:
    clock = SimpleNamespace(perf_counter=iter((10.0, 10.0123456)).__next__)
    monkeypatch.setattr(data_service, "time", clock)
    outcome, _ = call("hello")
    assert outcome["metadata"]["processing_time_ms"] == 12.346


@pytest.mark.parametrize("description", ["UPPERCASE", " UpperCase\t", "uppercase"])
def test_description_ignores_case_and_blanks(description: str) -> None:
    assert call("a", description)[0]["output"] == "A"


@pytest.mark.parametrize(
    ("payload", "description"),
    [("a", "sort"), (1, "uppercase"), ({"a": 1}, "reverse"), (True, "square")],
)
def test_operations_of_other_types_mean_the_default(
    payload: Any, description: str
) -> None:
    assert call(payload, description)[0]["output"] == call(payload)[0]["output"]


def test_description_may_be_missing() -> None:
    outcome, _ = service.call('{"payload": "a"}')
    assert json.loads(outcome)["output"] == "Processed: a"


@pytest.mark.parametrize(
    "items",
    [
        [1, "a"],
        [1, True],
        [True, "a"],
        [{"a": 1}, {"a": 2}],
        [None, None],
        [None],
        [[2], [1]],
    ],
)
def test_refuses_to_sort_mixed_items(items: list[Any]) -> None:
    request = json.dumps({"payload": items, "description": "sort"})
    assert refusal(request) == "unsortable_list"


@pytest.mark.parametrize(
    ("payload", "description"),
    [
        ("1e200", "square"),
        ("1.7e308", "double"),
        ("1e400", ""),
        ("-1e400", "square"),
        ("[1, 1e400]", "sort"),
        ('{"a": [1e999]}', ""),
    ],
)
def test_refuses_results_that_are_not_finite(payload: str, description: str) -> None:
    request = f'{{"payload": {payload}, "description": "{description}"}}'
    assert refusal(request) == "not_finite"


def test_refuses_results_of_too_many_digits() -> None:
    request = json.dumps({"payload": 10**2500, "description": "square"})
    assert refusal(request) == "integer_too_long"


@pytest.mark.parametrize(
    "request_",
    [
        "",
        "nonsense",
        "[]",
        "null",
        '"payload"',
        "{}",
        '{"description": "square"}',
        '{"payload": 1, "description": 2}',
        '{"payload": 1, "description": false}',
        '{"payload": 1, "description": ["square"]}',
        '{"payload": NaN}',
        r'{"payload": "\ud800"}',
        '{"payload": %s}' % ("9" * 5000),
        '{"payload": %s}' % ("[" * 2000 + "]" * 2000),
    ],
    ids=lambda text: text[:30] or "empty",
)
def test_refuses_invalid_requests(request_: str) -> None:
    assert refusal(request_) == "invalid_request"


def test_depth_at_the_edge_of_the_stack_is_answered_or_refused() -> None:
    for depth in range(900, 1000):
        request = '{"payload": %s}' % ("[" * depth + "]" * depth)
        try:
            outcome, _ = service.call(request)
        except ServiceError as refused:
            assert refused.code == "invalid_request"
        else:
            assert '"status":"success"' in outcome


def test_what_can_be_read_may_be_too_deep_to_be_written(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Within an outcome it is deeper; Python 3.12 counts both alike."""

    def fail(_: Any) -> str:
        raise RecursionError

    monkeypatch.setattr(json_text, "dumps", fail)
    assert refusal('{"payload": [[]]}') == "invalid_request"


def test_the_longest_integer_is_answered() -> None:
    longest = 2**data_service.MAX_INTEGER_BITS - 1
    outcome, _ = call(longest)
    assert outcome["output"] == longest
    assert refusal(f'{{"payload": {longest + 1}}}') == "integer_too_long"


descriptions = st.none() | text | st.sampled_from(["sort", "Reverse ", "square"])


@given(values, descriptions)
def test_any_payload_is_answered_or_refused(
    payload: Any, description: str | None
) -> None:
    try:
        outcome, task_type = call(payload, description)
    except ServiceError as refused:
        assert refused.code in {"unsortable_list", "not_finite"}
    else:
        assert repr(outcome["input"]) == repr(payload)
        assert task_type in {"string", "number", "list", "dict", "generic"}


@given(st.text() | st.binary().map(repr))
def test_any_text_is_answered_or_refused(data: str) -> None:
    try:
        service.call(data)
    except ServiceError as refused:
        assert refused.code == "invalid_request"


@given(text)
def test_reversing_twice_gives_the_string_back(payload: str) -> None:
    once = call(payload, "reverse")[0]["output"]
    assert call(once, "reverse")[0]["output"] == payload


@given(integers)
def test_integers_are_exact(payload: int) -> None:
    assert call(payload, "square")[0]["output"] == payload**2
    assert call(payload, "double")[0]["output"] == 2 * payload


@given(st.lists(integers | floats))
def test_sorting_orders_and_keeps_every_number(payload: list[float]) -> None:
    assert call(payload, "sort")[0]["output"] == sorted(payload)


def test_a_huge_list_is_sorted() -> None:
    payload = list(range(100_000, 0, -1))
    assert call(payload, "sort")[0]["output"] == payload[::-1]
