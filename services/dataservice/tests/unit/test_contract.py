"""This service answers as the messages in `docs/rpc-examples.json` say."""

import json
from pathlib import Path
from typing import Any

from app.data_service import DataService
from chassis.rpc.connection import Delivery
from chassis.rpc.handling import RequestHandler
from chassis.rpc.wire import Request, Settlement

EXAMPLES = json.loads(
    (Path(__file__).parents[4] / "docs" / "rpc-examples.json").read_text()
)


def handle(body: Any, headers: dict[str, Any]) -> tuple[Any, dict[str, str]]:
    properties = {"reply_to": "replies", "correlation_id": "1"}
    request = Request(Delivery(json.dumps(body).encode(), headers, properties, 1), None)
    outcome = RequestHandler(DataService(), delivery_limit=3)(request)
    assert outcome.settlement is Settlement.ACK
    assert outcome.reply
    return json.loads(outcome.reply), dict(outcome.reply_headers)


def shape(value: Any) -> Any:
    """Names and types without the values."""
    if isinstance(value, dict):
        return {name: shape(item) for name, item in value.items()}
    return type(value)


def test_the_example_request_gets_the_example_reply() -> None:
    request, expected = EXAMPLES["request"], EXAMPLES["reply_ok"]
    body, headers = handle(request["body"], request["headers"])
    assert headers == expected["headers"]
    del body["metadata"]["operation"]  # our own field; the contract
    assert shape(body) == shape(expected["body"])
    for name in ("status", "input", "output"):
        assert body[name] == expected["body"][name]


def test_a_refusal_looks_like_the_example() -> None:
    expected = EXAMPLES["reply_error"]
    body, headers = handle({"payload": [1, "a"], "description": "sort"}, {})
    assert headers == expected["headers"]
    assert shape(body) == shape(expected["body"])
    assert body["code"] == expected["body"]["code"]


def test_json_with_another_structure_is_refused() -> None:
    body, headers = handle([1, 2], {})
    assert headers["x-status"] == "error"
    assert body["code"] == "invalid_request"
