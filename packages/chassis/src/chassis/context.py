"""What a piece of work belongs to: its request, its task, its deadline.

Set at each edge (HTTP, RPC, Celery), read by logs, spans and calls to services.
"""

import re
import secrets
from contextvars import ContextVar

REQUEST_ID_HEADER = "X-Request-ID"

#: What fits into a header, an AMQP short string and a log line without escaping.
REQUEST_ID_PATTERN = re.compile(r"[A-Za-z0-9][A-Za-z0-9._:/+=@-]{0,127}")

#: ``-`` outside of any request.
current_request_id: ContextVar[str] = ContextVar("request_id", default="-")

#: The id of the record that this work is for; None if there is none.
current_task_id: ContextVar[str | None] = ContextVar("task_id", default=None)

#: By ``time.monotonic()``: when nobody waits any more; None for no deadline.
current_deadline: ContextVar[float | None] = ContextVar("deadline", default=None)


def new_request_id() -> str:
    """A fresh id, of 32 hexadecimal digits."""
    return secrets.token_hex(16)
