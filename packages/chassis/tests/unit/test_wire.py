"""Both sides of the wire contract, from the examples in ``docs/``."""

import json
import time
from pathlib import Path
from typing import Any

import pytest

from chassis.errors import (
    ApplicationError,
    ServiceError,
    ServiceFailed,
    ServiceUnavailable,
)
from chassis.rpc import wire
from tests.unit.deliveries import make_request

DOCS = Path(__file__).parents[4] / "docs"
EXAMPLES = json.loads((DOCS / "rpc-examples.json").read_text())


def body(example: str) -> bytes:
    return json.dumps(EXAMPLES[example]["body"]).encode()


def headers(example: str) -> dict[str, Any]:
    found: dict[str, Any] = EXAMPLES[example]["headers"]
    return found


@pytest.mark.promise(
    "docs/RPC.md", "The tests read the example messages in `docs/rpc-examples.json`"
)
def test_an_answer_is_read() -> None:
    reply = wire.decode_reply(body("reply_ok"), headers("reply_ok"))
    assert reply == wire.Reply(EXAMPLES["reply_ok"]["body"], "string")


def test_an_answer_is_written() -> None:
    outcome = wire.Outcome.answer(body("reply_ok").decode(), "string")
    assert outcome.reply == body("reply_ok")
    assert outcome.reply_headers == headers("reply_ok")


@pytest.mark.promise("docs/RPC.md", "the service refuses the values")
def test_a_refusal_is_raised_with_its_code() -> None:
    with pytest.raises(ServiceError) as refused:
        wire.decode_reply(body("reply_error"), headers("reply_error"))
    assert refused.value.code == "unsortable_list"


def test_a_refusal_is_written() -> None:
    example = EXAMPLES["reply_error"]["body"]
    outcome = wire.Outcome.error_reply(example["code"], example["message"])
    assert json.loads(outcome.reply or b"") == example
    assert outcome.reply_headers == headers("reply_error")


@pytest.mark.parametrize(
    ("code", "error"),
    [("internal_error", ServiceFailed), ("service_unavailable", ServiceUnavailable)],
)
def test_temporary_errors_are_not_refusals(code: str, error: type[Exception]) -> None:
    reply = json.dumps({"code": code, "message": "x"}).encode()
    with pytest.raises(error):
        wire.decode_reply(reply, {"x-status": "error"})


@pytest.mark.parametrize(
    ("reply", "reply_headers"),
    [
        (b"{", {"x-status": "ok"}),
        (b"", {"x-status": "ok"}),
        (b"\xff", {"x-status": "ok"}),
        (b"NaN", {"x-status": "ok"}),
        (b'"\\ud800"', {"x-status": "ok"}),
        (b"1", {}),
        (b"1", {"x-status": "error"}),
        (b'{"code": "x"}', {"x-status": "error"}),
        (b"[" * 100_000, {"x-status": "ok"}),
    ],
)
def test_a_reply_that_breaks_the_contract_is_a_failure(
    reply: bytes, reply_headers: dict[str, str]
) -> None:
    with pytest.raises(ServiceFailed):
        wire.decode_reply(reply, reply_headers)


@pytest.mark.promise(
    "docs/RPC.md", "The tests read the example messages in `docs/rpc-examples.json`"
)
def test_a_request_is_read() -> None:
    request = make_request(body("request"), headers("request"))
    assert (request.request_id, request.task_id) == ("req-1", "task-1")
    assert request.deadline == request.arrived + 30
    assert not request.is_late()
    assert (request.attempt, request.reply_to) == (1, "replies")


def test_a_request_without_headers_has_defaults() -> None:
    request = make_request(tag=7)
    assert (request.request_id, request.task_id) == ("call-7", None)
    assert (request.deadline, request.waited()) == (None, None)
    assert not request.is_late()


@pytest.mark.promise(
    "docs/RPC.md",
    "the receiver counts it from delivery, and no caller waits after that",
)
def test_the_deadline_counts_from_the_delivery() -> None:
    request = make_request(headers={"x-time-left": 1000})
    assert not request.is_late()
    request.arrived -= 1.1
    assert request.is_late()


@pytest.mark.promise("docs/RPC.md", "no decision depends on another machine's clock")
@pytest.mark.parametrize("ahead", [-3600, 3600])
def test_no_other_clock_decides(ahead: float) -> None:
    """A caller's clock that is an hour behind or ahead does not matter."""
    sent_at = (time.time() + ahead) * 1000
    request = make_request(headers={"x-time-left": 1000, "x-sent-at": sent_at})
    assert not request.is_late()


def test_the_time_in_the_queue_is_never_negative() -> None:
    milliseconds = time.time() * 1000
    request = make_request(headers={"x-sent-at": int(milliseconds - 2000)})
    assert 2 <= (request.waited() or 0) < 3
    request = make_request(headers={"x-sent-at": int(milliseconds + 2000)})
    assert request.waited() == 0


@pytest.mark.parametrize(("count", "attempt"), [(0, 1), (2, 3), ("2", 1), (None, 1)])
def test_the_broker_counts_deliveries(count: Any, attempt: int) -> None:
    assert make_request(headers={"x-delivery-count": count}).attempt == attempt


@pytest.mark.promise(
    "docs/adr/0011-one-chassis.md",
    "So an old service, or one in another language, still works beside a new one.",
)
def test_a_newer_release_may_add_to_messages() -> None:
    """During an upgrade, callers and services of two releases talk to each other."""
    more = {"x-new": {"any": [1]}, "x-newer": None}
    answer = wire.decode_reply(body("reply_ok"), {**headers("reply_ok"), **more})
    assert answer.task_type == "string"
    refusal = json.dumps({**EXAMPLES["reply_error"]["body"], "new": 1}).encode()
    with pytest.raises(ServiceError):
        wire.decode_reply(refusal, {**headers("reply_error"), **more})
    request = make_request(body("request"), {**headers("request"), **more})
    assert (request.request_id, request.task_id) == ("req-1", "task-1")
    assert not request.is_late()


@pytest.mark.promise(
    "docs/adr/0011-one-chassis.md",
    "So an old service, or one in another language, still works beside a new one.",
)
@pytest.mark.parametrize(
    "missing", ["x-time-left", "x-sent-at", "x-request-id", "x-task-id"]
)
def test_another_release_may_send_less(missing: str) -> None:
    given = {k: v for k, v in headers("request").items() if k != missing}
    request = make_request(body("request"), given)
    assert not request.is_late()
    assert request.request_id
    request.waited()


@pytest.mark.parametrize(
    ("code", "kind"),
    [
        (ServiceFailed.code, ServiceFailed),
        (ServiceUnavailable.code, ServiceUnavailable),
        ("too_large", ServiceError),
    ],
)
def test_a_caller_reads_what_the_service_said(
    code: str, kind: type[ApplicationError]
) -> None:
    sent = wire.Outcome.error_reply(code, "it has 7 rows")
    with pytest.raises(kind) as refused:
        wire.decode_reply(sent.reply or b"", sent.reply_headers)
    assert (refused.value.code, refused.value.detail) == (code, "it has 7 rows")


def test_an_unreadable_reply_is_the_services_failure() -> None:
    with pytest.raises(ServiceFailed) as failed:
        wire.decode_reply(b"{", {wire.STATUS: wire.OK})
    assert failed.value.detail == "The service sent an unreadable reply."
