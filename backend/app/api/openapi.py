"""Completes the OpenAPI schema with what FastAPI cannot see in the endpoints.

Middleware and the gateway also read headers and send answers. Errors are defined once,
as components, and every operation refers to them.
"""

from collections.abc import Collection, Iterator
from typing import Any

from fastapi import FastAPI
from fastapi.routing import APIRoute

from app.api import security
from app.api.errors import MEDIA_TYPE, code_of, phrase_of
from app.api.middleware import rate_limits
from app.api.middleware.authentication import is_open
from app.api.openapi_parts import (
    EXAMPLES,
    HEADERS,
    KEY_PARAMETER,
    REQUEST_ID,
    REQUEST_ID_PARAMETER,
)
from app.api.sign_in import SignIn
from app.api.strict_json import MAX_DEPTH, MAX_DIGITS
from app.core import idempotency
from app.core.config import Settings
from app.models.schemas import TASK_ID, CloudEvent, Problem
from chassis import json_text
from chassis.context import REQUEST_ID_HEADER

TAGS = [
    {"name": "database", "description": "Stored records and log rows."},
    {"name": "events", "description": "What happened, and live streams of it."},
    {"name": "observability", "description": "Metrics for tuning."},
    {"name": "root", "description": "The entry page, and health for probes."},
]

# For every operation: a malformed header, an address that is not text, the gateway's
# own answers, a bug.
ALWAYS = (400, 414, 422, 429, 431, 500, 502, 504)
# For operations that take an idempotency key, and for those with a body.
KEYED = (409, 413, 503)
WITH_A_BODY = (413, 415)
# For operations that need a token: 503 if it cannot be verified.
WITH_A_TOKEN = (401, 403, 503)
RETRY_AFTER = (409, 429, 502, 503)


def operation_id(route: APIRoute) -> str:
    """The endpoint function's name as operation id: short, unique and stable."""
    return route.name


def headers(status_code: int, *names: str) -> dict[int | str, dict[str, Any]]:
    """The headers of an answer, for ``responses=``."""
    return {status_code: {"headers": {name: HEADERS[name] for name in names}}}


def accepted() -> dict[int | str, dict[str, Any]]:
    """The example of a 202: unlike the schema's example, it has no outcome yet."""
    answer = headers(202, "Location")
    body = {"task_id": TASK_ID, "task_status": "Processing", "outcome": None}
    answer[202]["content"] = {"application/json": {"example": body}}
    return answer


def stream_example() -> dict[int | str, dict[str, Any]]:
    """The answers of a stream of events, with an example."""
    event = CloudEvent.model_json_schema()["examples"][0]
    lines = (
        "id: 801112063\nretry: 1234\n\n"
        f"event: {event['type']}\n"
        f"data: {json_text.dumps(event)}\n"
        f"id: {event['sequence']}\n\n"
    )
    # Without a schema: OpenAPI 3.1 has none for the events of a stream, and tools take
    # one for the whole text as that of each event.
    stream = {"example": lines}
    return {
        200: {"description": "Events", "content": {"text/event-stream": stream}},
        204: {"description": "The record's last event is sent already"},
    }


def describe_api(settings: Settings) -> str:
    """The introduction, with the limits of this deployment."""
    return f"""Send data to a service, which processes it at once or later.

**Input** is JSON by RFC 8259 in UTF-8: no NaN or Infinity, no lone surrogates, no
U+0000. If an object repeats a key, the last value counts. A body has at most
{settings.max_body_bytes} bytes, values are nested at most {MAX_DEPTH} deep, integers
have at most {MAX_DIGITS} digits, other numbers are 64-bit floating point. What passes
is processed, stored and answered without loss.

**Errors** are `application/problem+json` (RFC 9457). Programs read `code`; quote
`request_id` when you ask for help. 503 and 429 say in `Retry-After` when to retry.
The gateway limits requests and connections per address.{_describe_limits(settings)}

**Retries** of a POST are safe with an `Idempotency-Key`; the answer is stored for
{settings.idempotency.ttl_seconds} seconds."""


def _describe_limits(settings: Settings) -> str:
    kinds = {"read": "with GET and HEAD", "write": "with other methods"}
    limits = [
        f"{policy.amount} requests {kinds[name]} in {policy.seconds} s"
        for name, policy in settings.rate_limits.policies.items()
    ]
    if not limits:
        return ""
    return f"""
Each caller has {" and ".join(limits)}; `RateLimit` says how many are left.
A caller is the subject of a token, else an address."""


def install_schema(app: FastAPI, sign_in: SignIn | None) -> None:
    """Complete the application's schema, once, on its first use; the provider's
    addresses may become known later."""
    generate, settings = app.openapi, app.state.settings
    prefix = settings.auth.scope_prefix if sign_in else None

    def complete() -> dict[str, Any]:
        known = app.openapi_schema is not None
        schema = generate()
        if not known:
            security.complete(schema, prefix)
            _complete(schema)
            if settings.rate_limits.policies:
                _add_limits(schema, settings.rate_limits.policies)
        if sign_in:
            schemes = {security.Caller.scheme_name: sign_in.scheme()}
            schema["components"]["securitySchemes"] = schemes
        return schema

    app.openapi = complete  # type: ignore[method-assign]


def _complete(schema: dict[str, Any]) -> None:
    components = schema["components"]
    for unused in ("HTTPValidationError", "ValidationError"):
        components["schemas"].pop(unused, None)
    components["schemas"]["Problem"] = Problem.model_json_schema(
        ref_template="#/components/schemas/{model}"
    )
    components["headers"] = {REQUEST_ID_HEADER: REQUEST_ID}
    for method, operation in _operations(schema):
        keyed = method == "post"
        operation.setdefault("parameters", []).append(REQUEST_ID_PARAMETER)
        if keyed:
            operation["parameters"].append(KEY_PARAMETER)
        more = (
            *KEYED * keyed,
            *WITH_A_BODY * ("requestBody" in operation),
            *WITH_A_TOKEN * ("security" in operation),
        )
        _complete_answers(operation["responses"], {*ALWAYS, *more}, keyed)
        operation["responses"] = dict(sorted(operation["responses"].items()))
    found = {code for _, each in _operations(schema) for code in each["responses"]}
    # An endpoint may define error answers of its own.
    codes = EXAMPLES.keys() | {int(code) for code in found if _is_error(code)}
    components["responses"] = {f"Error{code}": _error(code) for code in sorted(codes)}


def _add_limits(schema: dict[str, Any], policies: Collection[str]) -> None:
    """The headers of rate limits: on the good answers of what is limited, and on
    errors."""
    components = schema["components"]
    named = {name: HEADERS[name] for name in (rate_limits.STATE, rate_limits.POLICY)}
    components["headers"] |= named
    links = {name: {"$ref": f"#/components/headers/{name}"} for name in named}
    for each in components["responses"].values():
        each["headers"] |= links
    for path, methods in schema["paths"].items():
        for method, operation in methods.items():
            scope = {"path": path, "method": method.upper()}
            if not is_open(scope) and rate_limits.policy_of(scope) in policies:
                for each in operation["responses"].values():
                    if "$ref" not in each:
                        each["headers"] |= links


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
    """Not for `4XX` and `default`, which an endpoint may define too."""
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
    if code in (401, 403):
        own = {"WWW-Authenticate": HEADERS["WWW-Authenticate"]}
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
