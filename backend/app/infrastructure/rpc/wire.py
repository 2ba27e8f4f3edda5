"""The wire contract of ``docs/RPC.md``, from the caller's side."""

import json
from dataclasses import dataclass
from typing import Any

from app.core.exceptions import ServiceFailed, ServiceRefused

DEADLINE = "x-deadline"
REQUEST_ID = "x-request-id"
TASK_ID = "x-task-id"
STATUS = "x-status"
TASK_TYPE = "x-task-type"

# Built once: json.dumps() with options builds one for each call.
_encoder = json.JSONEncoder(ensure_ascii=False, allow_nan=False, separators=(",", ":"))


@dataclass(frozen=True, slots=True)
class Reply:
    """What a service returned, and the type of data that it found."""

    outcome: Any
    task_type: str | None


def encode(payload: dict[str, Any]) -> bytes:
    """The body of a request."""
    return _encoder.encode(payload).encode()


def decode(body: str | bytes, headers: dict[str, Any]) -> Reply:
    """What a reply means.

    Raises:
        ServiceRefused: the service refused the values.
        ServiceFailed: the service failed on them, or its reply is not of the contract.
    """
    try:
        content = json.loads(body)
        if headers[STATUS] == "ok":
            return Reply(content, headers.get(TASK_TYPE))
        code, message = content["code"], content["message"]
    except (ValueError, KeyError, TypeError, RecursionError) as error:
        raise ServiceFailed("The service sent an unreadable reply.") from error
    if code == ServiceFailed.code:
        raise ServiceFailed(message)
    raise ServiceRefused(code, message)
