"""JSON as RFC 8259 defines it, within limits that every part behind the API can handle.

The API checks it at the edge, for every endpoint (``app.api.middleware.bounds``): a
value that passes is processed, stored and answered without loss. If an object repeats a
key, the last value counts.
"""

import json
import math
import re
from collections.abc import Mapping
from typing import Any

from fastapi import HTTPException

from chassis.json_text import TooManyValues, check_values

MAX_DEPTH = 100
MAX_DIGITS = 1000


class BodyRefused(HTTPException):
    """The answer to a body: 400 if it is not JSON, 413 too large, 415 another media
    type, 422 values beyond the limits, 503 if the process has no room for it."""

    def __init__(
        self,
        status_code: int,
        code: str,
        detail: str,
        headers: Mapping[str, str] | None = None,
    ) -> None:
        super().__init__(status_code, detail, headers)
        self.code = code


def parse_json(body: bytes, max_values: int) -> Any:
    """The value of a JSON text.

    Raises:
        BodyRefused: with the status code and the reason.
    """
    try:
        check_values(body, max_values)
        text = body.decode("utf-8")
        value = _decoder_for(text).decode(text)
    except TooManyValues as error:
        detail = f"The body must not have more than {max_values} values."
        raise BodyRefused(422, "too_many_values", detail) from error
    except UnicodeDecodeError as error:
        raise BodyRefused(400, "malformed_json", "The body is not UTF-8.") from error
    except json.JSONDecodeError as error:
        fault = error.msg.removesuffix(" at")  # some messages end so
        detail = f"The body is not JSON: {fault} at character {error.pos}."
        raise BodyRefused(400, "malformed_json", detail) from error
    except RecursionError as error:
        raise _too_deep() from error
    # Checking depth and characters means walking the value; most bodies need neither.
    if text.count("[") + text.count("{") > MAX_DEPTH:
        _check_depth(value)
    if "\\u" in text:
        _check_texts(value)
    return value


def _check_depth(value: Any) -> None:
    level: list[Any] = [[value]]
    depth = 0
    while level := [
        inner
        for outer in level
        for inner in (outer.values() if isinstance(outer, dict) else outer)
        if isinstance(inner, list | dict)
    ]:
        depth += 1
        if depth > MAX_DEPTH:
            raise _too_deep()


def _check_texts(value: Any) -> None:
    waiting = [value]
    while waiting:
        item = waiting.pop()
        if isinstance(item, str):
            _check_text(item)
        elif isinstance(item, list):
            waiting += item
        elif isinstance(item, dict):
            waiting += item
            waiting += item.values()


def _check_text(text: str) -> None:
    if "\0" in text:
        detail = "Text must not contain U+0000: PostgreSQL cannot store it."
        raise BodyRefused(422, "unstorable_text", detail)
    if not text.isascii():
        try:
            text.encode()
        except UnicodeEncodeError as error:
            detail = "Text must not contain a lone surrogate: it is not Unicode."
            raise BodyRefused(422, "unstorable_text", detail) from error


def _too_deep() -> BodyRefused:
    detail = f"Values must not be nested more than {MAX_DEPTH} deep."
    return BodyRefused(422, "too_deep", detail)


def too_large(limit: int) -> BodyRefused:
    """The refusal of a body with more bytes than that."""
    detail = f"The body must not be larger than {limit} bytes."
    return BodyRefused(413, "content_too_large", detail)


def _parse_int(digits: str) -> int:
    if len(digits) > MAX_DIGITS:
        detail = f"Integers must not have more than {MAX_DIGITS} digits."
        raise BodyRefused(422, "too_many_digits", detail)
    return int(digits)


def _parse_float(digits: str) -> float:
    number = float(digits)
    if not math.isfinite(number):
        detail = "Numbers must be within the range of 64-bit floating point."
        raise BodyRefused(422, "not_finite", detail)
    return number


def _refuse_name(name: str) -> None:
    raise BodyRefused(400, "malformed_json", f"The body is not JSON: {name}.")


_careful = json.JSONDecoder(
    parse_int=_parse_int, parse_float=_parse_float, parse_constant=_refuse_name
)
_plain = json.JSONDecoder(parse_constant=_refuse_name)

# A number with an exponent or with hundreds of digits: no other can be out of range.
_LARGE_NUMBER = re.compile(r"[0-9](?:[eE]|[0-9]{299})")
_MANY = 200

_CHARSET = re.compile(r';\s*charset\s*=\s*"?([^\s;"]*)', re.IGNORECASE)
_UTF_8 = ("utf-8", "utf8", "us-ascii", "ascii")


def _decoder_for(text: str) -> json.JSONDecoder:
    """The strict decoder calls Python for each number. If a body may hold many, it is
    cheaper to search first for a number that needs the check."""
    if text.count(",") > _MANY and not _LARGE_NUMBER.search(text):
        return _plain
    return _careful


def refuse_encoding(content_type: str, content_encoding: str) -> None:
    """Refuse a compressed body, and text in another encoding than UTF-8.

    The API decodes no compressed body: few bytes could become many values.

    Raises:
        BodyRefused: 415; ``Accept-Encoding`` says what to send (RFC 9110, 15.5.16).
    """
    codings = {each.strip().lower() for each in content_encoding.split(",")}
    if codings - {"", "identity"}:
        detail = "Send the body as it is, without Content-Encoding."
        headers = {"Accept-Encoding": "identity"}
        raise BodyRefused(415, "unsupported_encoding", detail, headers)
    if is_json(content_type):
        charset = _CHARSET.search(content_type)
        if charset and charset[1].lower() not in _UTF_8:
            detail = "Send JSON in UTF-8 (RFC 8259), with charset=utf-8 or without."
            raise BodyRefused(415, "unsupported_charset", detail)


def is_json(content_type: str) -> bool:
    """Whether a body of that type is read as JSON, by FastAPI's own rule."""
    kind = content_type.partition(";")[0].strip().lower()
    return kind == "application/json" or (
        kind.startswith("application/") and kind.endswith("+json")
    )
