"""Requests and replies on the wire: the contract of ``docs/RPC.md``."""

import time
from collections.abc import Mapping
from contextvars import Context
from dataclasses import dataclass, field
from enum import Enum, auto
from typing import Any

from chassis import json_text
from chassis.errors import ServiceError, ServiceFailed, ServiceUnavailable
from chassis.rpc.connection import Delivery

REQUEST_ID = "x-request-id"
TASK_ID = "x-task-id"
#: The subject of the caller's verified token.
PRINCIPAL = "x-principal"
#: Milliseconds that the caller had left when it sent the request.
TIME_LEFT = "x-time-left"
#: Unix time of sending in milliseconds, for metrics. Over Redis it is by Redis' clock
#: and also decides, as expired messages stay in the queue.
SENT_AT = "x-sent-at"
STATUS = "x-status"
TASK_TYPE = "x-task-type"
#: A larger number is not a valid time.
MOST_MILLISECONDS = 1e15
#: Written by quorum queues: how often a message returned to its queue.
DELIVERY_COUNT = "x-delivery-count"

OK, ERROR = "ok", "error"

INVALID_REQUEST = "invalid_request"


@dataclass(frozen=True, slots=True)
class Reply:
    """A service's answer, and the type of data that it found."""

    outcome: Any
    task_type: str | None


def decode_reply(body: bytes, headers: Mapping[str, Any]) -> Reply:
    """Interpret a reply.

    Raises:
        ServiceError: the service refused the values.
        ServiceFailed: the service failed, or its reply breaks the contract.
        ServiceUnavailable: the service could not reach a dependency.
    """
    try:
        content = json_text.loads(body.decode())
        if headers[STATUS] == OK:
            return Reply(content, headers.get(TASK_TYPE))
        code, message = str(content["code"]), str(content["message"])
    except (ValueError, KeyError, TypeError) as error:
        raise ServiceFailed("The service sent an unreadable reply.") from error
    if code == ServiceFailed.code:
        raise ServiceFailed(message)
    if code == ServiceUnavailable.code:
        raise ServiceUnavailable(message)
    raise ServiceError(code, message)


@dataclass(slots=True, eq=False)
class Request:
    """One delivery to a service, and the intake that received it.

    ``arrived`` is in ``time.monotonic()`` seconds. ``context`` is the context for its
    log lines and ``seconds`` its duration; handling sets both.
    """

    delivery: Delivery
    intake: object
    arrived: float = field(default_factory=time.monotonic)
    context: Context | None = None
    seconds: float = 0.0

    @property
    def body(self) -> bytes:
        """The body: JSON, if the request is valid."""
        return self.delivery.body

    @property
    def headers(self) -> Mapping[str, Any]:
        """The request's headers, including its trace context."""
        return self.delivery.headers

    @property
    def reply_to(self) -> str | None:
        """The caller's reply queue."""
        return self.delivery.properties.get("reply_to")

    @property
    def correlation_id(self) -> str | None:
        """The caller's id of this call."""
        return self.delivery.properties.get("correlation_id")

    @property
    def attempt(self) -> int:
        """1 on the first delivery, 2 on the second.

        Without a count (Redis) every delivery is the first.
        """
        count = self.headers.get(DELIVERY_COUNT)
        return count + 1 if isinstance(count, int) else 1

    @property
    def request_id(self) -> str:
        """The request id in logs and spans."""
        return str(self.headers.get(REQUEST_ID, self.correlation_id))

    @property
    def task_id(self) -> str | None:
        """The id of the record that receives the outcome, or None."""
        task_id = self.headers.get(TASK_ID)
        return None if task_id is None else str(task_id)

    @property
    def principal(self) -> str | None:
        """Who asks for this; None without authentication."""
        principal = self.headers.get(PRINCIPAL)
        return None if principal is None else str(principal)

    @property
    def deadline(self) -> float | None:
        """When the caller stops waiting, in this process's ``time.monotonic()``
        seconds.

        It counts from the delivery: no clock of another machine decides. While a
        request waits in the queue, the message's expiration limits it.
        """
        left = self._seconds(TIME_LEFT)
        return None if left is None else self.arrived + left

    def waited(self, now: float | None = None) -> float | None:
        """Seconds from sending to ``now``, by default by the clocks of both machines;
        None if unknown."""
        sent_at = self._seconds(SENT_AT)
        now = time.time() if now is None else now
        return None if sent_at is None else max(0.0, now - sent_at)

    def is_late(self) -> bool:
        """Whether the caller has stopped waiting."""
        deadline = self.deadline
        return deadline is not None and time.monotonic() > deadline

    def _seconds(self, header: str) -> float | None:
        """A header in milliseconds, as seconds; None if missing or invalid."""
        value = self.headers.get(header)
        if not isinstance(value, int | float):
            return None
        # Over Redis it may be any JSON number.
        return value / 1000 if abs(value) < MOST_MILLISECONDS else None


class Settlement(Enum):
    """How a delivery is settled."""

    ACK = auto()
    REQUEUE = auto()
    #: Later; events only.
    RETRY = auto()
    DEAD_LETTER = auto()


@dataclass(frozen=True, slots=True)
class Outcome:
    """The result of handling a request. ``error`` is the error code."""

    settlement: Settlement
    reply: bytes | None = None
    reply_headers: Mapping[str, str] = field(default_factory=dict)
    error: str | None = None

    @classmethod
    def answer(cls, body: str, task_type: str) -> "Outcome":
        """The service answered; ``body`` is JSON."""
        headers = {STATUS: OK, TASK_TYPE: task_type}
        return cls(Settlement.ACK, body.encode(), headers)

    @classmethod
    def error_reply(
        cls, code: str, message: str, settlement: Settlement = Settlement.ACK
    ) -> "Outcome":
        """Answer the request with an error."""
        body = json_text.dumps({"code": code, "message": message})
        # A message may quote a lone surrogate of the input, and must not fail here.
        reply = body.encode(errors="replace")
        return cls(settlement, reply, {STATUS: ERROR}, code)
