"""The caller's side of the wire contract, by the examples of ``docs/``."""

import json
from pathlib import Path

import pytest

from app.core.exceptions import ServiceFailed, ServiceRefused
from app.infrastructure.rpc import wire

EXAMPLES = json.loads(
    (Path(__file__).parents[3] / "docs/rpc-examples.json").read_text()
)


def test_a_request_is_the_example() -> None:
    body = EXAMPLES["request"]["body"]
    assert json.loads(wire.encode(body)) == body


def test_a_request_keeps_every_script() -> None:
    assert wire.encode({"payload": "日本語 😀"}) == '{"payload":"日本語 😀"}'.encode()


def test_an_answer_is_read() -> None:
    example = EXAMPLES["reply_ok"]
    reply = wire.decode(json.dumps(example["body"]), example["headers"])
    assert reply == wire.Reply(example["body"], "string")


def test_a_refusal_is_raised_with_its_code() -> None:
    example = EXAMPLES["reply_error"]
    with pytest.raises(ServiceRefused) as refused:
        wire.decode(json.dumps(example["body"]), example["headers"])
    assert refused.value.code == "unsortable_list"


def test_a_failure_of_the_service_is_not_a_refusal() -> None:
    with pytest.raises(ServiceFailed):
        wire.decode('{"code":"internal_error","message":"x"}', {"x-status": "error"})


@pytest.mark.parametrize(
    ("body", "headers"),
    [
        ("{", {"x-status": "ok"}),
        ("", {"x-status": "ok"}),
        ("1", {}),
        ("1", {"x-status": "error"}),
        ('{"code": "x"}', {"x-status": "error"}),
        ("[" * 100_000, {"x-status": "ok"}),
    ],
)
def test_a_reply_out_of_contract_is_a_failure(
    body: str, headers: dict[str, str]
) -> None:
    with pytest.raises(ServiceFailed):
        wire.decode(body, headers)
