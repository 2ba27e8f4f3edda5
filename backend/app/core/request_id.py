"""The request id: one name for a request in answers, logs, messages and rows."""

import contextvars
import re
import secrets

HEADER = "X-Request-ID"

# What fits into a header, an AMQP short string and a log line without escaping.
PATTERN = re.compile(r"[A-Za-z0-9][A-Za-z0-9._:/+=@-]{0,127}")

current_request_id: contextvars.ContextVar[str] = contextvars.ContextVar(
    "request_id", default="-"
)


def new_request_id() -> str:
    """A fresh id, of 32 hexadecimal digits."""
    return secrets.token_hex(16)
