"""The context of a piece of work: its request, its task, its caller, its deadline.

Each edge (HTTP, RPC, Celery) sets it; logs, spans and calls to services read it.
"""

import re
import secrets
from contextvars import ContextVar

REQUEST_ID_HEADER = "X-Request-ID"

#: What fits into a header, an AMQP short string and a log line without escaping.
#: Base64 and nanoid may begin with any of their characters.
REQUEST_ID_PATTERN = re.compile(r"[A-Za-z0-9._~:/+=@-]{1,128}")

#: ``-`` outside any request.
current_request_id: ContextVar[str] = ContextVar("request_id", default="-")

#: The id of the record that this work is for, or None.
current_task_id: ContextVar[str | None] = ContextVar("task_id", default=None)

#: The subject of the caller's verified token; None without authentication. The token
#: itself stays in the API.
current_principal: ContextVar[str | None] = ContextVar("principal", default=None)

#: In ``time.monotonic()`` seconds: after it nobody waits for the answer; None for no
#: deadline.
current_deadline: ContextVar[float | None] = ContextVar("deadline", default=None)


def new_request_id() -> str:
    """A new random id of 32 hexadecimal digits."""
    return secrets.token_hex(16)
