"""A request and its reply as the wire has them; names and codes of the contract."""

import time
from collections.abc import Mapping
from dataclasses import dataclass
from enum import Enum, auto
from typing import Any

from app import json_text

DEADLINE_HEADER = "x-deadline"
DELIVERY_COUNT_HEADER = "x-delivery-count"
REQUEST_ID_HEADER = "x-request-id"
STATUS_HEADER = "x-status"
TASK_ID_HEADER = "x-task-id"
TASK_TYPE_HEADER = "x-task-type"

INVALID_REQUEST = "invalid_request"
INTERNAL_ERROR = "internal_error"


@dataclass(slots=True, eq=False)
class Request:
    """One delivery. `tag` names it on the connection `link` and nowhere else."""

    body: bytes
    headers: Mapping[str, Any]
    reply_to: str | None
    correlation_id: str | None
    tag: Any
    link: object
    expiration: str | None = None

    @property
    def attempt(self) -> int:
        """1 on the first delivery, 2 on the second.

        Quorum queues count what went back to them, by reject or by the loss of a
        consumer. Without a count (Redis) every delivery is the first.
        """
        count = self.headers.get(DELIVERY_COUNT_HEADER)
        return count + 1 if isinstance(count, int) else 1

    @property
    def request_id(self) -> str:
        return str(self.headers.get(REQUEST_ID_HEADER, self.correlation_id))

    @property
    def task_id(self) -> str:
        return str(self.headers.get(TASK_ID_HEADER, ""))

    def waited(self) -> float | None:
        """Seconds since the caller sent it, by the clocks of both; None if unknown.

        Deadline and expiration end together, and the latter began with the sending.
        """
        deadline, expiration = self.headers.get(DEADLINE_HEADER), self.expiration
        if not isinstance(deadline, int | float) or not (expiration or "").isdigit():
            return None
        sent = deadline - int(expiration or 0)
        return max(0.0, time.time() - sent / 1000)

    def is_stale(self) -> bool:
        """Whether nobody waits for the answer any more."""
        deadline = self.headers.get(DEADLINE_HEADER)
        return isinstance(deadline, int | float) and time.time() * 1000 > deadline


@dataclass(slots=True, eq=False)
class Reply:
    body: bytes
    headers: dict[str, str]

    @property
    def is_error(self) -> bool:
        return self.headers[STATUS_HEADER] == "error"


def ok_reply(body: str, task_type: str) -> Reply:
    return Reply(body.encode(), {STATUS_HEADER: "ok", TASK_TYPE_HEADER: task_type})


def error_reply(code: str, message: str) -> Reply:
    body = json_text.dumps({"code": code, "message": message})
    # A message that quotes a lone surrogate of the input must not fail here.
    return Reply(body.encode(errors="replace"), {STATUS_HEADER: "error"})


class Settlement(Enum):
    """What becomes of a delivery."""

    ACK = auto()
    REQUEUE = auto()
    DEAD_LETTER = auto()


@dataclass(slots=True, eq=False)
class Outcome:
    """What handling a request came to: maybe a reply, and what becomes of it."""

    settlement: Settlement
    reply: Reply | None = None
