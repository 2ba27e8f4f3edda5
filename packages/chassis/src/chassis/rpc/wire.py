"""Requests and replies as the wire has them: the contract of ``docs/RPC.md``."""

import json
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import Enum, auto
from typing import Any

from chassis import json_text
from chassis.errors import ServiceError, ServiceFailed
from chassis.rpc.connection import Delivery

REQUEST_ID = "x-request-id"
TASK_ID = "x-task-id"
#: Milliseconds that the caller had left when it sent the request.
TIME_LEFT = "x-time-left"
#: Unix time of the sending in milliseconds: for figures, never for decisions.
SENT_AT = "x-sent-at"
STATUS = "x-status"
TASK_TYPE = "x-task-type"
#: Written by quorum queues: how often a message came back to its queue.
DELIVERY_COUNT = "x-delivery-count"

OK, ERROR = "ok", "error"

INVALID_REQUEST = "invalid_request"
INTERNAL_ERROR = ServiceFailed.code


@dataclass(frozen=True, slots=True)
class Reply:
    """What a service returned, and the type of data that it found."""

    outcome: Any
    task_type: str | None


def decode_reply(body: str | bytes, headers: Mapping[str, Any]) -> Reply:
    """What a reply means.

    Raises:
        ServiceError: the service refused the values.
        ServiceFailed: the service failed on them, or its reply is not of the contract.
    """
    try:
        content = json.loads(body)
        if headers[STATUS] == OK:
            return Reply(content, headers.get(TASK_TYPE))
        code, message = content["code"], content["message"]
    except (ValueError, KeyError, TypeError, RecursionError) as error:
        raise ServiceFailed("The service sent an unreadable reply.") from error
    if code == INTERNAL_ERROR:
        raise ServiceFailed(message)
    raise ServiceError(code, message)


@dataclass(slots=True, eq=False)
class Request:
    """One delivery to a service. ``link`` is the connection that it came by."""

    delivery: Delivery
    link: object
    arrived: float = field(default_factory=time.monotonic)

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
        left = self.headers.get(TIME_LEFT)
        return self.arrived + left / 1000 if isinstance(left, int | float) else None

    def waited(self) -> float | None:
        """Seconds from the sending until now, by the clocks of both; None if unknown."""
        sent_at = self.headers.get(SENT_AT)
        if not isinstance(sent_at, int | float):
            return None
        return max(0.0, time.time() - sent_at / 1000)

    def is_late(self) -> bool:
        """Whether nobody waits for the answer any more."""
        deadline = self.deadline
        return deadline is not None and time.monotonic() > deadline


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


def answered(body: str, task_type: str) -> Outcome:
    """The service has answered."""
    headers = {STATUS: OK, TASK_TYPE: task_type}
    return Outcome(Settlement.ACK, body.encode(), headers)


def refused(
    code: str, message: str, settlement: Settlement = Settlement.ACK
) -> Outcome:
    """The request is answered with an error."""
    body = json_text.dumps({"code": code, "message": message})
    # A message that quotes a lone surrogate of the input must not fail here.
    reply = body.encode(errors="replace")
    return Outcome(settlement, reply, {STATUS: ERROR}, code)
