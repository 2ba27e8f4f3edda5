"""Maps every error to ``application/problem+json`` (RFC 9457), here and nowhere
else."""

import json
import re
from collections.abc import Mapping
from http.client import responses as phrases
from traceback import walk_tb
from typing import Any

from fastapi import FastAPI
from fastapi.exceptions import (
    RequestValidationError,
    ValidationException,
    WebSocketRequestValidationError,
)
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Match
from starlette.types import Receive, Scope, Send

from app.api.strict_json import is_json, parse_json
from app.core.exceptions import (
    ApplicationError,
    Conflict,
    CrossSite,
    DeadlineExceeded,
    Forbidden,
    KeyInFlight,
    Malformed,
    NotFound,
    RateLimited,
    Refused,
    Unauthenticated,
    Unavailable,
)
from chassis.context import current_request_id

STATUS_CODES: Mapping[type[ApplicationError], int] = {
    Malformed: 400,
    Unauthenticated: 401,
    Forbidden: 403,
    CrossSite: 403,
    NotFound: 404,
    Conflict: 409,
    Refused: 422,
    RateLimited: 429,
    Unavailable: 503,
    DeadlineExceeded: 504,
}

MEDIA_TYPE = "application/problem+json"
FORMS = ("multipart/form-data", "application/x-www-form-urlencoded")
METHODS = ("GET", "POST", "PUT", "PATCH", "DELETE", "OPTIONS")


def problem(
    status: int,
    code: str,
    title: str,
    detail: str,
    headers: Mapping[str, str] | None = None,
    **members: Any,
) -> Response:
    """An error answer."""
    request_id = current_request_id.get()
    content = {
        "type": f"urn:problem:{code}",
        "title": title,
        "status": status,
        "detail": detail,
        "code": code,
        "request_id": request_id,
        **members,
    }
    # ASCII only: a detail may quote client input, even a lone surrogate.
    return Response(
        json.dumps(content),
        status,
        headers,
        media_type=MEDIA_TYPE,
    )


def answer(error: ApplicationError) -> Response:
    """The answer to an error class of ``app.core.exceptions``."""
    known = (cls for cls in type(error).__mro__ if cls in STATUS_CODES)
    status = STATUS_CODES[next(known)]
    headers = {}
    if isinstance(error, Unavailable | KeyInFlight | RateLimited):
        headers["Retry-After"] = str(error.retry_after)
    if isinstance(error, Unauthenticated | Forbidden):
        headers["WWW-Authenticate"] = error.challenge  # RFC 6750
    return problem(status, error.code, error.title, error.detail, headers)


async def send_answer(
    response: Response, scope: Scope, receive: Receive, send: Send
) -> None:
    """Send it, for a WebSocket instead of opening that; a server that cannot do this
    answers 403."""
    can_answer = "websocket.http.response" in scope.get("extensions", {})
    if scope["type"] == "websocket" and not can_answer:
        await send({"type": "websocket.close", "code": 1008})
    else:
        await response(scope, receive, send)


async def answer_error(request: Request, error: Exception) -> Response:
    """The answer to an error that middleware caught, or to one of the framework."""
    if isinstance(error, ApplicationError):
        return answer(error)
    return await on_http_error(request, error)


async def on_application_error(_: Request, error: Exception) -> Response:
    """Errors raised by endpoints and by the code they call."""
    assert isinstance(error, ApplicationError)
    return answer(error)


async def on_http_error(request: Request, error: Exception) -> Response:
    """Errors of the framework: unknown paths, wrong methods, bodies too large."""
    assert isinstance(error, HTTPException)
    phrase = phrase_of(error.status_code)
    code = getattr(error, "code", code_of(phrase))
    headers, detail = error.headers, str(error.detail)
    if error.status_code == 405:
        headers = {"Allow": ", ".join(_allowed_methods(request))}
    if detail == phrases[404] and request.url.path.endswith("/"):
        detail = "There is nothing here: paths have no slash at the end."
    return problem(error.status_code, code, phrase, detail, headers)


def phrase_of(status_code: int) -> str:
    """The phrase of a status code; an endpoint may use a code that no RFC defines."""
    return phrases.get(status_code, "Error")


def code_of(phrase: str) -> str:
    """The phrase as an error code: ``not_found`` for "Not Found"."""
    return re.sub(r"\W+", "_", phrase.lower())


def _allowed_methods(request: Request) -> list[str]:
    """The methods of all routes with this path; Starlette lists only the first
    route's."""
    found = []
    for method in METHODS:
        scope = {**request.scope, "method": method}
        if any(r.matches(scope)[0] is Match.FULL for r in request.app.routes):
            found.append(method)
    if "GET" in found:
        found.insert(1, "HEAD")  # HEAD is answered by app.api.middleware.head
    return found or ["GET", "HEAD"]  # mounted files are no routes


async def on_invalid(request: Request, error: Exception) -> Response:
    """Values that do not match the schema. The answer does not repeat the input."""
    assert isinstance(error, RequestValidationError)
    if wanted := _other_media_type(request, error):
        title, detail = "Unsupported Media Type", f"Send the body as {wanted}."
        return problem(415, "unsupported_media_type", title, detail)
    return _invalid_values(error)


async def on_invalid_handshake(_: Any, error: Exception) -> Response:
    """The same for a WebSocket: the answer is there instead of a connection."""
    assert isinstance(error, WebSocketRequestValidationError)
    return _invalid_values(error)


def _invalid_values(error: ValidationException) -> Response:
    errors = [
        {"loc": list(e["loc"]), "msg": e["msg"], "type": e["type"]}
        for e in error.errors()
    ]
    where = ".".join(str(part) for part in errors[0]["loc"])
    detail = f"{where}: {errors[0]['msg']}"
    return problem(422, "invalid_values", "Invalid values", detail, errors=errors)


def _other_media_type(request: Request, error: RequestValidationError) -> str | None:
    """The media type that the endpoint reads, if the failed body has another."""
    field = getattr(request.scope.get("route"), "body_field", None)
    if field is None or all(e["loc"][0] != "body" for e in error.errors()):
        return None
    wanted, given = field.field_info.media_type, request.headers.get("content-type", "")
    fits = (
        given.partition(";")[0].strip().lower() in FORMS
        if wanted in FORMS
        else is_json(given) or not is_json(wanted)
    )
    return None if fits else str(wanted)


async def on_unreadable(request: Request, error: Exception) -> Response:
    """A body that an endpoint reads itself with ``await request.json()`` gets the same
    answer as every other body. Any other error while reading is a bug."""
    frames = walk_tb(error.__traceback__)
    if all(frame.f_code is not Request.json.__code__ for frame, _ in frames):
        raise error
    body = await request.body()
    if not body:
        missing = {"loc": ("body",), "msg": "Field required", "type": "missing"}
        return await on_invalid(request, RequestValidationError([missing]))
    try:
        parse_json(body, request.app.state.settings.max_json_values)
    except HTTPException as refusal:
        return await on_http_error(request, refusal)
    raise error


async def on_bug(_: Request, __: Exception) -> Response:
    """Anything else is a bug of ours; the traceback is in the log."""
    title, detail = "Internal server error", "This is a bug; please report it."
    return problem(500, "internal_error", title, detail)


def install_error_handlers(app: FastAPI) -> None:
    """Answer every error with the handlers of this module."""
    app.add_exception_handler(ApplicationError, on_application_error)
    app.add_exception_handler(HTTPException, on_http_error)
    app.add_exception_handler(RequestValidationError, on_invalid)
    app.add_exception_handler(WebSocketRequestValidationError, on_invalid_handshake)
    for kind in (json.JSONDecodeError, UnicodeDecodeError, RecursionError):
        app.add_exception_handler(kind, on_unreadable)
    app.add_exception_handler(Exception, on_bug)


def responses(*status_codes: int) -> dict[int | str, dict[str, Any]]:
    """The error answers of an operation; ``app.api.openapi`` completes them."""
    return {code: {"description": phrase_of(code)} for code in status_codes}
