"""Requests as a broker delivers them."""

from typing import Any

from chassis.rpc.connection import Delivery
from chassis.rpc.wire import Request


def make_request(
    body: bytes = b'{"payload": 1}',
    headers: dict[str, Any] | None = None,
    *,
    reply_to: str | None = "replies",
    tag: int = 1,
    intake: object = None,
) -> Request:
    """The request of call `call-TAG`."""
    properties = {"reply_to": reply_to, "correlation_id": f"call-{tag}"}
    return Request(Delivery(body, headers or {}, properties, tag), intake)
