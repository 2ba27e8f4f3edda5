"""Headers, parameters and example errors that the schema repeats."""

from typing import Any

from app.api.middleware import rate_limits
from app.core import idempotency
from chassis.context import REQUEST_ID_HEADER

# The example's code, title and detail for each status code.
EXAMPLES = {
    400: ("malformed_json", "Bad Request", "The body is not JSON: NaN."),
    401: (
        "unauthenticated",
        "Authentication required",
        "Send a token: Authorization: Bearer <token>.",
    ),
    403: (
        "insufficient_scope",
        "Not allowed",
        "This needs the scope records:read.",
    ),
    404: ("not_found", "Not found", "No record has the id 42."),
    409: (
        "idempotency_key_in_flight",
        "The first request is still being processed",
        "A request with this Idempotency-Key is still being processed.",
    ),
    413: (
        "content_too_large",
        "Content Too Large",
        "The body must not be larger than 1048576 bytes.",
    ),
    414: ("uri_too_long", "URI Too Long", "The address is too long."),
    415: (
        "unsupported_media_type",
        "Unsupported Media Type",
        "Send the body as application/json.",
    ),
    422: ("invalid_values", "Invalid values", "body.payload: Field required"),
    429: (
        "rate_limited",
        "Too Many Requests",
        "Too many requests or connections from this address.",
    ),
    431: (
        "header_too_large",
        "Request Header Fields Too Large",
        "The header is too large.",
    ),
    500: (
        "internal_error",
        "Internal server error",
        "This is a bug; please report it.",
    ),
    502: ("api_unavailable", "Bad Gateway", "The API does not answer."),
    503: ("queue_full", "Temporarily unavailable", "The queue data_queue is full."),
    504: (
        "deadline_exceeded",
        "The service did not answer in time",
        "No answer from data_queue within 30 s.",
    ),
}

_text = {"type": "string"}
REQUEST_ID = {
    "description": "The id of this request in logs, traces and log rows.",
    "schema": _text,
}
HEADERS: dict[str, dict[str, Any]] = {
    "Location": {"description": "The path of the result.", "schema": _text},
    "Link": {
        "description": 'The next page, if there may be one, as `<path>; rel="next"`.',
        "schema": _text,
    },
    "Retry-After": {
        "description": "Seconds to wait before a retry.",
        "schema": {"type": "integer", "minimum": 1},
    },
    "WWW-Authenticate": {
        "description": "What is missing or wrong (RFC 6750).",
        "schema": _text,
    },
    rate_limits.STATE: {
        "description": "How many requests are left (`r`), and in how many seconds all "
        'of them return (`t`): `"read";r=599;t=30`. The gateway\'s answers lack it.',
        "schema": _text,
    },
    rate_limits.POLICY: {
        "description": "The limit of requests (`q`) in so many seconds (`w`): "
        '`"read";q=600;w=60`. The gateway\'s answers lack it.',
        "schema": _text,
    },
    idempotency.REPLAYED: {
        "description": "`true` if this is the stored answer to an earlier request.",
        "schema": {"type": "string", "const": "true"},
    },
}

REQUEST_ID_PARAMETER = {
    "name": REQUEST_ID_HEADER,
    "in": "header",
    "description": "An id for this request, kept and returned: 1 to 128 letters, "
    "digits and `._~:/+=@-`. Any other id is replaced, and a missing one generated.",
    "schema": _text,
    "example": "order-1/attempt-2",
}
KEY_PARAMETER = {
    "name": idempotency.HEADER,
    "in": "header",
    "description": "A unique key for this request, such as a UUID, quoted or bare. "
    "The same request sent again with its key is not processed again: "
    "it gets the stored answer, marked `Idempotency-Replayed`. It "
    "gets 409 while the first one is in progress. A different request "
    "with the key gets 422. Successes and refusals (400, 422) are "
    "stored; any other answer frees the key. If the answer was too "
    "long to store, 303 and `Location` lead to the result, or 409 if "
    "there is no `Location` or the record has since been deleted. "
    "After the answer expires, the same request and key still lead to "
    "the record while it exists.",
    "schema": {
        "type": "string",
        "minLength": 1,
        "maxLength": idempotency.MAX_LENGTH,
        "pattern": r'^("[ !#-\[\]-~]{1,253}"|[!#-+.-:<-\[\]-~-]+)$',
    },
}
