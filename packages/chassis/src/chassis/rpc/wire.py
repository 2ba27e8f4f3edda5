"""Requests and replies as the wire has them: the contract of ``docs/RPC.md``."""

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
#: Milliseconds that the caller had left when it sent the request.
TIME_LEFT = "x-time-left"
#: Unix time of the sending in milliseconds: for figures, never for decisions.
SENT_AT = "x-sent-at"
STATUS = "x-status"
TASK_TYPE = "x-task-type"
#: What is beyond is no time.
MOST_MILLISECONDS = 1e15
#: Written by quorum queues: how often a message came back to its queue.
DELIVERY_COUNT = "x-delivery-count"

OK, ERROR = "ok", "error"

INVALID_REQUEST = "invalid_request"


@dataclass(frozen=True, slots=True)
class Reply:
    """What a service returned, and the type of data that it found."""

    outcome: Any
    task_type: str | None


def decode_reply(body: bytes, headers: Mapping[str, Any]) -> Reply:
    """What a reply means.

    Raises:
        ServiceError: the service refused the values.
        ServiceFailed: the service failed on them, or its reply is not of the contract.
        ServiceUnavailable: the service could not reach what it needs.
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
    """One delivery to a service, and the intake that it came by.

    ``arrived`` is by ``time.monotonic()``. ``context`` is what its log lines belong to
    and ``seconds`` how long it took, once it has been handled.
    """

    delivery: Delivery
    intake: object
    arrived: float = field(default_factory=time.monotonic)
    context: Context | None = None
    seconds: float = 0.0

    @property
    def body(self) -> bytes:
        """JSON, if it is a request at all."""
        return self.delivery.body

    @property
    def headers(self) -> Mapping[str, Any]:
        """The request's headers; among them its trace context."""
        return self.delivery.headers

    @property
    def reply_to(self) -> str | None:
        """The caller's queue for replies."""
        return self.delivery.properties.get("reply_to")

    @property
    def correlation_id(self) -> str | None:
        """What the caller knows its call by."""
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
        """The id that logs and spans know the request by."""
        return str(self.headers.get(REQUEST_ID, self.correlation_id))

    @property
    def task_id(self) -> str | None:
        """The id of the record that the outcome is for, if there is one."""
        task_id = self.headers.get(TASK_ID)
        return None if task_id is None else str(task_id)

    @property
    def deadline(self) -> float | None:
        """When nobody waits any more, by this process's ``time.monotonic()``.

        Counted from the delivery: no clock of another machine decides. What waits in
        the queue meanwhile is dropped by the broker, at the message's expiration.
        """
        left = self._seconds(TIME_LEFT)
        return None if left is None else self.arrived + left

    def waited(self) -> float | None:
        """Seconds since the sending, by the clocks of both; None if unknown."""
        sent_at = self._seconds(SENT_AT)
        return None if sent_at is None else max(0.0, time.time() - sent_at)

    def is_late(self) -> bool:
        """Whether nobody waits for the answer any more."""
        deadline = self.deadline
        return deadline is not None and time.monotonic() > deadline

    def _seconds(self, header: str) -> float | None:
        """A header of milliseconds; None if it is none."""
        value = self.headers.get(header)
        if not isinstance(value, int | float):
            return None
        # Over Redis it may be any number that JSON can write.
        return value / 1000 if abs(value) < MOST_MILLISECONDS else None


class Settlement(Enum):
    """What becomes of a delivery."""

    ACK = auto()
    REQUEUE = auto()
    DEAD_LETTER = auto()


@dataclass(frozen=True, slots=True)
class Outcome:
    """What handling a request came to. ``error`` is the code of what went wrong."""

    settlement: Settlement
    reply: bytes | None = None
    reply_headers: Mapping[str, str] = field(default_factory=dict)
    error: str | None = None

    @classmethod
    def answer(cls, body: str, task_type: str) -> "Outcome":
        """The service has answered; ``body`` is JSON."""
        headers = {STATUS: OK, TASK_TYPE: task_type}
        return cls(Settlement.ACK, body.encode(), headers)

    @classmethod
    def error_reply(
        cls, code: str, message: str, settlement: Settlement = Settlement.ACK
    ) -> "Outcome":
        """The request is answered with an error."""
        body = json_text.dumps({"code": code, "message": message})
        # A message that quotes a lone surrogate of the input must not fail here.
        reply = body.encode(errors="replace")
        return cls(settlement, reply, {STATUS: ERROR}, code)
