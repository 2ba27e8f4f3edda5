import json
import time
from typing import Any

import pytest

from app.data_service import DataService
from app.errors import ServiceError
from app.rpc.handling import RequestHandler
from app.rpc.message import Outcome, Request, Settlement

DELIVERY_LIMIT = 3


class Scripted:
    """A service that does one thing, and remembers what it was called with."""

    def __init__(self, result: Any) -> None:
        self.result = result
        self.calls: list[str] = []

    def call(self, data: str) -> tuple[str, str]:
        self.calls.append(data)
        if isinstance(self.result, BaseException):
            raise self.result
        result: tuple[str, str] = self.result
        return result


def request(
    body: bytes = b'{"payload": 1}', reply_to: str | None = "replies", **headers: Any
) -> Request:
    named = {name.replace("_", "-"): value for name, value in headers.items()}
    return Request(body, named, reply_to, "call-1", tag=1, link=None)


def handle(result: Any, delivery: Request) -> Outcome:
    return RequestHandler(Scripted(result), DELIVERY_LIMIT)(delivery)


def answer(outcome: Outcome) -> Any:
    assert outcome.reply
    return json.loads(outcome.reply.body)


def test_an_answer_is_replied_and_acknowledged() -> None:
    outcome = handle(('{"a":"ä"}', "kind"), request())
    assert outcome.settlement is Settlement.ACK
    assert outcome.reply
    assert outcome.reply.body == '{"a":"ä"}'.encode()
    assert outcome.reply.headers == {"x-status": "ok", "x-task-type": "kind"}


def test_the_service_gets_the_body_as_it_came() -> None:
    service = Scripted(("1", "kind"))
    RequestHandler(service, DELIVERY_LIMIT)(request(' {"payload": "ä"} '.encode()))
    assert service.calls == [' {"payload": "ä"} ']


def test_a_refusal_is_an_answer() -> None:
    outcome = handle(ServiceError("no_such_thing", "there is none"), request())
    assert outcome.settlement is Settlement.ACK
    assert outcome.reply and outcome.reply.headers == {"x-status": "error"}
    assert answer(outcome) == {"code": "no_such_thing", "message": "there is none"}


def test_a_refusal_may_quote_anything() -> None:
    outcome = handle(ServiceError("odd", "what is \ud800?"), request())
    assert answer(outcome)["message"] == "what is ??"


@pytest.mark.parametrize("count", [None, 0, 1])
def test_a_failure_before_the_limit_gives_the_message_back(count: int | None) -> None:
    outcome = handle(RuntimeError("boom"), request(x_delivery_count=count))
    assert outcome.settlement is Settlement.REQUEUE
    assert outcome.reply is None


@pytest.mark.parametrize("count", [DELIVERY_LIMIT - 1, DELIVERY_LIMIT])
def test_a_failure_at_the_limit_is_answered_and_dead_lettered(count: int) -> None:
    outcome = handle(RuntimeError("secret"), request(x_delivery_count=count))
    assert outcome.settlement is Settlement.DEAD_LETTER
    assert answer(outcome)["code"] == "internal_error"
    assert "secret" not in answer(outcome)["message"]


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
def test_whatever_goes_wrong_is_a_failure(result: Any) -> None:
    assert handle(result, request()).settlement is Settlement.REQUEUE


@pytest.mark.parametrize("reply_to", [None, ""])
def test_without_a_queue_to_reply_to_it_is_dead_lettered(reply_to: str | None) -> None:
    service = Scripted(("1", "kind"))
    outcome = RequestHandler(service, DELIVERY_LIMIT)(request(reply_to=reply_to))
    assert outcome.settlement is Settlement.DEAD_LETTER
    assert not service.calls


@pytest.mark.parametrize(
    "body", [b"", b"{", b"\xff", b'{"payload": NaN}', b"[" * 9000, b'"\\ud800"']
)
def test_what_is_not_json_is_answered_and_dead_lettered(body: bytes) -> None:
    service = Scripted(("1", "kind"))
    outcome = RequestHandler(service, DELIVERY_LIMIT)(request(body))
    assert outcome.settlement is Settlement.DEAD_LETTER
    assert answer(outcome)["code"] == "invalid_request"
    assert not service.calls


def test_json_of_another_shape_is_refused_and_acknowledged() -> None:
    handler = RequestHandler(DataService(), DELIVERY_LIMIT)
    outcome = handler(request(b"[1, 2]"))
    assert outcome.settlement is Settlement.ACK
    assert answer(outcome)["code"] == "invalid_request"


def test_a_request_past_its_deadline_is_dropped_unanswered() -> None:
    service = Scripted(("1", "kind"))
    past = int(time.time() * 1000) - 1
    outcome = RequestHandler(service, DELIVERY_LIMIT)(request(x_deadline=past))
    assert (outcome.settlement, outcome.reply) == (Settlement.ACK, None)
    assert not service.calls


@pytest.mark.parametrize(
    "deadline", [int(time.time() * 1000) + 600_000, "soon", None, float("nan")]
)
def test_other_deadlines_do_not_keep_it_from_work(deadline: Any) -> None:
    outcome = handle(("1", "kind"), request(x_deadline=deadline))
    assert outcome.reply is not None
