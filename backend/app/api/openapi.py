"""The schema as clients need it: all that FastAPI cannot see in the endpoints.

Middleware and the gateway take headers and give answers too. Errors are written once,
as components, and referred to by each operation.
"""

from collections.abc import Iterator
from typing import Any

from fastapi import FastAPI
from fastapi.routing import APIRoute

from app.api.errors import MEDIA_TYPE, code_of, phrase_of
from app.api.strict_json import MAX_DEPTH, MAX_DIGITS
from app.core import idempotency
from app.core.config import Settings
from app.models.schemas import TASK_ID, Problem
from chassis.context import REQUEST_ID_HEADER, REQUEST_ID_PATTERN

TAGS = [
    {"name": "database", "description": "What was stored: records and log rows."},
    {"name": "observability", "description": "Figures for tuning."},
    {"name": "root", "description": "A signpost, and health for probes."},
]

# Code, title and detail of an example for each status code.
EXAMPLES = {
    400: ("malformed_json", "Bad Request", "The body is not JSON: NaN."),
    404: ("not_found", "Not found", "No record has the id 42."),
    409: (
        "idempotency_key_in_flight",
        "The first request is still being worked on",
        "A request with this Idempotency-Key is being worked on.",
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

# Of every operation: a malformed header, an address that is no text, the gateway's own
# answers, a bug.
ALWAYS = (400, 414, 422, 429, 431, 500, 502, 504)
# Of those under an idempotency key, and of those with a body.
KEYED = (409, 413, 503)
WITH_A_BODY = (413, 415)
RETRY_AFTER = (409, 429, 502, 503)

_text = {"type": "string"}
_request_id = {
    "description": "The id of this request in logs, traces and log rows.",
    "schema": _text,
}
HEADERS: dict[str, dict[str, Any]] = {
    "Location": {"description": "Where the result is, as a path.", "schema": _text},
    "Link": {
        "description": 'The next page, as `<path>; rel="next"`, if there may be one.',
        "schema": _text,
    },
    "Retry-After": {
        "description": "Seconds after which a retry makes sense.",
        "schema": {"type": "integer", "minimum": 1},
    },
    idempotency.REPLAYED: {
        "description": "`true` if this is the stored answer to an earlier request.",
        "schema": {"type": "string", "const": "true"},
    },
}

REQUEST_ID_PARAMETER = {
    "name": REQUEST_ID_HEADER,
    "in": "header",
    "description": "A name for this request, kept and returned. Made if there is none.",
    "schema": {"type": "string", "pattern": f"^({REQUEST_ID_PATTERN.pattern})?$"},
    "example": "order-1/attempt-2",
}
KEY_PARAMETER = {
    "name": idempotency.HEADER,
    "in": "header",
    "description": "A name for this piece of work, such as a UUID, quoted or bare. "
    "A request that is sent again under its key is not done again: it gets the stored "
    "answer, marked `Idempotency-Replayed`; 409 while the first is under way; 422 if "
    "it is another request. Successes and refusals (400, 422) are kept, other answers "
    "free the key. In place of an answer that was too long to be kept, 303 names what "
    "was made in `Location`; without one it is 409. 404: the record of the work has "
    "been deleted since. Later, and as long as its record is there, the same request "
    "under the same key still leads to that record.",
    "schema": {
        "type": "string",
        "minLength": 1,
        "maxLength": idempotency.MAX_LENGTH,
        "pattern": r'^("[ !#-\[\]-~]{1,253}"|[!#-+.-:<-\[\]-~-]+)$',
    },
}


def operation_id(route: APIRoute) -> str:
    """The name of the endpoint's function: short, unique, and stable."""
    return route.name


def headers(status_code: int, *names: str) -> dict[int | str, dict[str, Any]]:
    """The headers of an answer, for ``responses=``."""
    return {status_code: {"headers": {name: HEADERS[name] for name in names}}}


def accepted() -> dict[int | str, dict[str, Any]]:
    """A 202 is not what the schema's example shows: its outcome is still to come."""
    answer = headers(202, "Location")
    body = {"task_id": TASK_ID, "task_status": "Processing", "outcome": None}
    answer[202]["content"] = {"application/json": {"example": body}}
    return answer


def describe_api(settings: Settings) -> str:
    """The introduction, with the limits of this deployment."""
    return f"""Have data processed by a service, at once or later.

**Input** is JSON by RFC 8259 in UTF-8: no NaN or Infinity, no lone surrogates, no
U+0000. Of a key that comes twice in an object the last value counts. A body has at most
{settings.max_body_bytes} bytes, values are nested at most {MAX_DEPTH} deep, integers
have at most {MAX_DIGITS} digits, other numbers are 64-bit floating point. What passes
is processed, stored and answered without loss.

**Errors** are `application/problem+json` (RFC 9457); `code` is for programs, and
`request_id` is what to ask about. 503 and 429 say in `Retry-After` when to come back.
The gateway limits requests and connections of one address.

**Retries** of a POST are safe with an `Idempotency-Key`; an answer is kept for
{settings.idempotency.ttl_seconds} seconds."""


def install_schema(app: FastAPI) -> None:
    """Complete the schema of the application, once, when it is first asked for."""
    generate = app.openapi

    def complete() -> dict[str, Any]:
        known = app.openapi_schema is not None
        schema = generate()
        if not known:
            _complete(schema)
        return schema

    app.openapi = complete  # type: ignore[method-assign]


def _complete(schema: dict[str, Any]) -> None:
    components = schema["components"]
    for unused in ("HTTPValidationError", "ValidationError"):
        components["schemas"].pop(unused, None)
    components["schemas"]["Problem"] = Problem.model_json_schema(
        ref_template="#/components/schemas/{model}"
    )
    components["headers"] = {REQUEST_ID_HEADER: _request_id}
    for method, operation in _operations(schema):
        keyed = method == "post"
        operation.setdefault("parameters", []).append(REQUEST_ID_PARAMETER)
        if keyed:
            operation["parameters"].append(KEY_PARAMETER)
        more = (*KEYED * keyed, *WITH_A_BODY * ("requestBody" in operation))
        _complete_answers(operation["responses"], {*ALWAYS, *more}, keyed)
        operation["responses"] = dict(sorted(operation["responses"].items()))
    found = {code for _, each in _operations(schema) for code in each["responses"]}
    # An endpoint may answer with errors of its own.
    codes = EXAMPLES.keys() | {int(code) for code in found if _is_error(code)}
    components["responses"] = {f"Error{code}": _error(code) for code in sorted(codes)}


def _operations(schema: dict[str, Any]) -> Iterator[tuple[str, dict[str, Any]]]:
    for methods in schema["paths"].values():
        yield from methods.items()


def _complete_answers(
    answers: dict[str, Any], status_codes: set[int], keyed: bool
) -> None:
    for status in status_codes:
        answers.setdefault(str(status), {})
    for code, answer in answers.items():
        if _is_error(code) and not _is_documented(answer):
            answers[code] = {"$ref": f"#/components/responses/Error{code}"}
            continue
        own = answer.setdefault("headers", {})
        own[REQUEST_ID_HEADER] = {
            "$ref": f"#/components/headers/{REQUEST_ID_HEADER}",
        }
        if keyed:
            own[idempotency.REPLAYED] = HEADERS[idempotency.REPLAYED]


def _is_error(code: str) -> bool:
    """Not of `4XX` and `default`, which an endpoint may have too."""
    return code.isdecimal() and int(code) >= 400


def _is_documented(answer: dict[str, Any]) -> bool:
    content = answer.get("content", {}).get("application/json", {})
    reference = content.get("schema", {}).get("$ref", "")
    return bool(content) and not reference.endswith("/HTTPValidationError")


def _error(code: int) -> dict[str, Any]:
    phrase = phrase_of(code)
    by_itself = (code_of(phrase), phrase, phrase)
    name, title, detail = EXAMPLES.get(code, by_itself)
    example = {
        "type": f"urn:problem:{name}",
        "title": title,
        "status": code,
        "detail": detail,
        "code": name,
        "request_id": "33dedc9c497929535022c5db1d94290f",
    }
    own = {"Retry-After": HEADERS["Retry-After"]} if code in RETRY_AFTER else {}
    return {
        "description": phrase,
        "headers": {
            REQUEST_ID_HEADER: {"$ref": f"#/components/headers/{REQUEST_ID_HEADER}"},
            **own,
        },
        "content": {
            MEDIA_TYPE: {
                "schema": {"$ref": "#/components/schemas/Problem"},
                "example": example,
            }
        },
    }
