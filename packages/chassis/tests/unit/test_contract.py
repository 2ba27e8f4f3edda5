"""The messages of `docs/rpc-examples.json`, which the callers' tests read too."""

import json
from pathlib import Path
from typing import Any

import pytest

from app.data_service import DataService
from app.rpc.handling import RequestHandler
from app.rpc.message import Request, Settlement

DOCS = Path(__file__).parents[4] / "docs"
EXAMPLES = json.loads((DOCS / "rpc-examples.json").read_text())


def handle(body: Any, headers: dict[str, Any]) -> tuple[Any, dict[str, str]]:
    request = Request(json.dumps(body).encode(), headers, "replies", "1", 1, None)
    outcome = RequestHandler(DataService(), delivery_limit=3)(request)
    assert outcome.settlement is Settlement.ACK
    assert outcome.reply
    return json.loads(outcome.reply.body), outcome.reply.headers


def shape(value: Any) -> Any:
    """Names and types, without the values."""
    if isinstance(value, dict):
        return {name: shape(item) for name, item in value.items()}
    return type(value)


def test_the_example_request_gets_the_example_reply() -> None:
    headers = dict(EXAMPLES["request"]["headers"])
    del headers["x-deadline"]  # long ago by now
    body, reply_headers = handle(EXAMPLES["request"]["body"], headers)
    expected = EXAMPLES["reply_ok"]
    assert reply_headers == expected["headers"]
    del body["metadata"]["operation"]  # ours; the contract allows more
    assert shape(body) == shape(expected["body"])
    for name in ("status", "input", "output"):
        assert body[name] == expected["body"][name]


def test_the_example_request_is_stale_by_now() -> None:
    example = EXAMPLES["request"]
    request = Request(b"{}", example["headers"], "replies", "1", 1, None)
    assert request.is_stale()


def test_a_refusal_looks_like_the_example() -> None:
    body, headers = handle({"payload": [1, "a"], "description": "sort"}, {})
    assert headers == EXAMPLES["reply_error"]["headers"]
    assert shape(body) == shape(EXAMPLES["reply_error"]["body"])
    assert body["code"] == EXAMPLES["reply_error"]["body"]["code"]


@pytest.mark.parametrize("name", ["data_queue", "data_queue_dlq"])
def test_the_document_names_the_queues_as_we_declare_them(name: str) -> None:
    from app.rpc.topology import RequestQueue

    queue = RequestQueue("data_queue")
    arguments = queue.arguments if name == queue.name else queue.dead_letter_arguments
    lines = (DOCS / "RPC.md").read_text().splitlines()
    [row] = [line for line in lines if line.startswith(f"| `{name}` |")]
    for key, value in arguments.items():
        shown = json.dumps(value) if value == "" else value
        assert f"{key}: {shown}" in row
