"""One request, from its delivery to its outcome."""

import json
import logging
import pickle
import re
import time
from typing import Any

import pytest

from chassis.context import (
    current_deadline,
    current_principal,
    current_request_id,
    current_task_id,
)
from chassis.errors import (
    DeadlineExceeded,
    NoConsumer,
    ServiceError,
    ServiceFailed,
)
from chassis.logs import ACCESS, add_context
from chassis.rpc.handling import RequestHandler, report
from chassis.rpc.wire import Outcome, Request, Settlement
from tests.unit.deliveries import make_request

DELIVERY_LIMIT = 3


class Scripted:
    """A service that does one thing, and remembers its input."""

    def __init__(self, result: Any) -> None:
        self.result = result
        self.calls: list[str] = []

    def call(self, data: str) -> tuple[str, str]:
        self.calls.append(data)
        if isinstance(self.result, BaseException):
            raise self.result
        if callable(self.result):
            return self.result()  # type: ignore[no-any-return]
        result: tuple[str, str] = self.result
        return result


def handle(result: Any, request: Request | None = None) -> Outcome:
    service = Scripted(result)
    return RequestHandler(service, DELIVERY_LIMIT)(request or make_request())


def reply(outcome: Outcome) -> Any:
    assert outcome.reply
    return json.loads(outcome.reply)


def test_an_answer_is_replied_and_acknowledged() -> None:
    outcome = handle(('{"a":"ä"}', "kind"))
    assert outcome.settlement is Settlement.ACK
    assert outcome.reply == '{"a":"ä"}'.encode()
    assert outcome.reply_headers == {"x-status": "ok", "x-task-type": "kind"}
    assert outcome.error is None


def test_the_service_gets_the_body_unchanged() -> None:
    service = Scripted(("1", "kind"))
    body = ' {"payload": "ä"} '
    RequestHandler(service, DELIVERY_LIMIT)(make_request(body.encode()))
    assert service.calls == [body]


@pytest.mark.promise(
    "docs/RPC.md",
    "When a handler raises a coded refusal, the consumer replies with `x-status: "
    "error` and acknowledges.",
)
def test_a_refusal_is_an_answer() -> None:
    outcome = handle(ServiceError("no_such_thing", "there is none"))
    assert outcome.settlement is Settlement.ACK
    assert outcome.reply_headers == {"x-status": "error"}
    assert reply(outcome) == {"code": "no_such_thing", "message": "there is none"}


def test_a_refusal_may_quote_anything() -> None:
    assert reply(handle(ServiceError("odd", "what is \ud800?")))["message"] == (
        "what is ??"
    )


@pytest.mark.promise("docs/RPC.md", "the service cannot reach a dependency")
@pytest.mark.promise(
    "docs/RPC.md", "The request is neither redelivered nor dead-lettered."
)
def test_a_missing_dependency_is_answered_and_not_repeated() -> None:
    outcome = handle(
        NoConsumer("The queue prices does not exist: its service has never run.")
    )
    assert outcome.settlement is Settlement.ACK
    assert outcome.error == reply(outcome)["code"] == "service_unavailable"
    assert "prices" in reply(outcome)["message"]


@pytest.mark.promise(
    "docs/RPC.md",
    "When a handler fails in any other way, the message returns to the queue.",
)
@pytest.mark.parametrize("count", [None, 0, 1])
@pytest.mark.budget("topology.DELIVERY_LIMIT")
def test_a_failure_before_the_limit_returns_the_message(count: int | None) -> None:
    request = make_request(headers={"x-delivery-count": count})
    outcome = handle(RuntimeError("boom"), request)
    assert outcome == Outcome(Settlement.REQUEUE, error="internal_error")


@pytest.mark.promise("docs/RPC.md", "the service fails on every delivery")
@pytest.mark.parametrize("count", [DELIVERY_LIMIT - 1, DELIVERY_LIMIT])
@pytest.mark.budget("topology.DELIVERY_LIMIT")
def test_a_failure_at_the_limit_is_answered_and_dead_lettered(count: int) -> None:
    request = make_request(headers={"x-delivery-count": count})
    outcome = handle(RuntimeError("secret"), request)
    assert outcome.settlement is Settlement.DEAD_LETTER
    assert reply(outcome)["code"] == ServiceFailed.code
    assert "secret" not in reply(outcome)["message"]


@pytest.mark.parametrize(
    "result",
    [
        SystemExit(3),
        KeyboardInterrupt(),
        RecursionError(),
        MemoryError(),
        None,
        "not a pair",
        (b"bytes", "kind"),
        ("\ud800", "kind"),
    ],
    ids=repr,
)
def test_any_other_error_is_a_failure(result: Any) -> None:
    assert handle(result).settlement is Settlement.REQUEUE


@pytest.mark.promise("docs/RPC.md", "is rejected to the dead-letter queue at once")
@pytest.mark.parametrize("reply_to", [None, ""])
def test_without_a_queue_to_reply_to_it_is_dead_lettered(reply_to: str | None) -> None:
    service = Scripted(("1", "kind"))
    request = make_request(reply_to=reply_to)
    outcome = RequestHandler(service, DELIVERY_LIMIT)(request)
    assert outcome.settlement is Settlement.DEAD_LETTER
    assert not service.calls


@pytest.mark.promise("docs/RPC.md", "is rejected to the dead-letter queue at once")
@pytest.mark.parametrize(
    "body", [b"", b"{", b"\xff", b'{"payload": NaN}', b"[" * 9000, b'"\\ud800"']
)
def test_invalid_json_is_answered_and_dead_lettered(body: bytes) -> None:
    service = Scripted(("1", "kind"))
    outcome = RequestHandler(service, DELIVERY_LIMIT)(make_request(body))
    assert outcome.settlement is Settlement.DEAD_LETTER
    assert reply(outcome)["code"] == "invalid_request"
    assert not service.calls


def test_the_log_does_not_quote_an_invalid_request(
    caplog: pytest.LogCaptureFixture,
) -> None:
    handle(None, make_request(b'{"password": "secret", '))
    (line,) = caplog.records
    assert "secret" not in str(vars(line))


@pytest.mark.promise(
    "ARCHITECTURE.md",
    "The broker drops a request that no service takes in time. The service drops "
    "a request that it takes too late.",
)
@pytest.mark.promise(
    "docs/RPC.md",
    "A request whose `x-time-left` has passed is acknowledged and dropped, "
    "without a reply.",
)
@pytest.mark.parametrize("left", [0, -1, -60_000.5])
def test_a_late_request_is_dropped_unanswered(left: float) -> None:
    service = Scripted(("1", "kind"))
    request = make_request(headers={"x-time-left": left})
    time.sleep(0.001)
    outcome = RequestHandler(service, DELIVERY_LIMIT)(request)
    assert outcome == Outcome(Settlement.ACK, error="deadline_exceeded")
    assert not service.calls


@pytest.mark.parametrize(
    "left", [600_000, "soon", None, float("nan"), float("inf"), 10**400]
)
def test_requests_with_other_deadlines_are_processed(left: Any) -> None:
    headers = {"x-time-left": left, "x-sent-at": left}
    assert handle(("1", "kind"), make_request(headers=headers)).reply is not None


@pytest.mark.promise(
    "docs/RPC.md",
    "the request is dropped, since nobody waits, and its span is marked as failed",
)
def test_a_call_that_waited_until_the_deadline_is_not_repeated(
    caplog: pytest.LogCaptureFixture,
) -> None:
    def wait() -> None:
        time.sleep(0.06)
        raise DeadlineExceeded("No answer from prices within 0.05 s.")

    outcome = handle(wait, make_request(headers={"x-time-left": 50}))
    assert outcome == Outcome(Settlement.ACK, error="deadline_exceeded")
    assert "Traceback" not in caplog.text


def test_a_call_that_had_less_time_is_a_failure() -> None:
    error = DeadlineExceeded("No answer from prices within 0.05 s.")
    request = make_request(headers={"x-time-left": 60_000})
    assert handle(error, request).settlement is Settlement.REQUEUE


def test_the_context_lasts_as_long_as_the_request() -> None:
    seen: list[Any] = []

    def look() -> tuple[str, str]:
        seen.extend([current_request_id.get(), current_task_id.get()])
        seen.extend([current_principal.get(), current_deadline.get()])
        return "1", "kind"

    headers = {"x-request-id": "r-1", "x-task-id": "t-1", "x-time-left": 5000}
    request = make_request(headers={**headers, "x-principal": "alice"})
    handle(look, request)
    assert seen == ["r-1", "t-1", "alice", request.arrived + 5]
    assert current_principal.get() is None
    assert current_request_id.get() == "-"
    assert current_task_id.get() is None
    assert current_deadline.get() is None


@pytest.mark.parametrize(
    ("result", "left", "message", "outcome"),
    [
        (("1", "kind"), 1000, "Served a request", "ok"),
        (ServiceError("odd", "why"), 1000, "Served a request", "odd"),
        (RuntimeError("bug"), 1000, "Served a request", "internal_error"),
        (("1", "kind"), -1, "Dropped a late request", "deadline_exceeded"),
    ],
)
def test_each_request_is_logged_as_one_line(
    result: Any,
    left: int,
    message: str,
    outcome: str,
    caplog: pytest.LogCaptureFixture,
) -> None:
    caplog.set_level(logging.INFO, ACCESS)
    caplog.handler.addFilter(add_context)
    headers = {"x-time-left": left, "x-request-id": "r-1", "x-task-id": "t-1"}
    request = make_request(headers=headers)
    report("a_queue", [(request, handle(result, request))])
    caplog.handler.removeFilter(add_context)
    (line,) = [record for record in caplog.records if record.name == ACCESS]
    fields = vars(line)
    expected = rf"{message}: a_queue {outcome} \d+\.\d ms task t-1"
    assert re.fullmatch(expected, line.getMessage())
    assert fields["messaging.destination.name"] == "a_queue"
    assert fields["outcome"] == outcome
    assert (fields["request_id"], fields["task_id"]) == ("r-1", "t-1")
    assert 0 <= fields["duration_ms"] < 1000


def test_a_refusal_survives_pickling_by_celery() -> None:
    again = pickle.loads(pickle.dumps(ServiceError("odd", "why")))
    assert (again.code, again.detail) == ("odd", "why")


@pytest.mark.budget("MAX_JSON_VALUES")
def test_too_many_values_are_refused_before_parsing() -> None:
    handler = RequestHandler(Scripted(("1", "kind")), DELIVERY_LIMIT, max_values=10)
    few, many = (b"[" + b"1," * count + b"1]" for count in (16, 17))
    assert handler(make_request(few)).error is None
    for body in (many, many[:-1]):  # what was parsed first would be malformed
        outcome = handler(make_request(body))
        assert outcome.settlement is Settlement.ACK
        assert outcome.error == reply(outcome)["code"] == "too_many_values"


@pytest.mark.parametrize(
    "result", ["NaN", '{"total":Infinity}', "[-Infinity]", "{", "", '"\\ud800"']
)
def test_a_result_that_is_not_json_is_refused(result: str) -> None:
    outcome = handle((result, "kind"))
    assert outcome.settlement is Settlement.ACK
    assert outcome.error == reply(outcome)["code"] == "result_not_json"
    assert reply(outcome)["message"].startswith("the result cannot be sent: ")


@pytest.mark.parametrize("result", ['"NaN"', '{"Infinity":1}', "1e308", "null"])
def test_a_result_that_only_resembles_a_constant_is_sent(result: str) -> None:
    assert handle((result, "kind")).error is None


@pytest.mark.budget("MAX_RESULT_BYTES")
def test_a_result_above_the_limit_is_refused() -> None:
    for text, error in (
        *(("x" * 8, None), ("x" * 9, "result_too_large")),
        *(("ä" * 4, None), ("ä" * 5, "result_too_large")),
    ):
        service = Scripted((f'"{text}"', "kind"))
        outcome = RequestHandler(service, DELIVERY_LIMIT, max_result_bytes=10)(
            make_request()
        )
        assert (outcome.settlement, outcome.error) == (Settlement.ACK, error)
        if error:
            said = reply(outcome)["message"]
            assert said == "the result is larger than 10 bytes"
