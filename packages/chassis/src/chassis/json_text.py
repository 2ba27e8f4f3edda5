"""JSON by RFC 8259: a text that is read can be written, sent as UTF-8 and read again.

Python's `json` also reads `NaN`, `Infinity` and escaped lone surrogates, which cannot
be sent, and raises `RecursionError` on deep nesting.
"""

import json
import re
from itertools import islice
from typing import Any, NoReturn

from pydantic import TypeAdapter


class NotJson(ValueError):
    """The text is not JSON, or this process cannot represent it exactly."""


class TooManyValues(NotJson):
    """The text contains more values than allowed."""


def _refuse_constant(name: str) -> NoReturn:
    raise NotJson(f"{name} is not JSON")


# Built once: json.dumps() with options builds an encoder per call.
_decoder = json.JSONDecoder(parse_constant=_refuse_constant)
_encoder = json.JSONEncoder(ensure_ascii=False, allow_nan=False, separators=(",", ":"))
_anything = TypeAdapter[Any](Any)


# A text, closed or not, or what a value follows: a comma, or the bracket of a list or
# object that is not empty. The pattern is possessive and may reach the end, so it reads
# each byte once. No possessive group has alternatives inside: `re` of Python 3.11.2, as
# in Debian 12, misreads them (https://github.com/python/cpython/issues/106052).
_TEXT_OR_VALUE = re.compile(
    rb'"[^"\\]*+(?:\\.[^"\\]*+)*+"?+|(,|[\[{](?!\s*+[\]}]))', re.DOTALL
)


def most_values(text: bytes) -> int:
    """An upper bound of the number of values: quick to count, and often too high."""
    return 1 + text.count(b",") + text.count(b"[") + text.count(b"{")


def check_values(text: bytes, limit: int) -> None:
    """Count the values of a JSON text before any is built; keys do not count.

    Raises TooManyValues if there are more than ``limit``.
    """
    if most_values(text) <= limit:
        return
    found = _TEXT_OR_VALUE.finditer(text)
    followed = (1 for each in found if each.lastindex is not None)
    if 1 + sum(islice(followed, limit)) > limit:
        raise TooManyValues(f"the JSON has more than {limit} values")


def loads(text: str) -> Any:
    """Read one JSON value; integers stay exact.

    Raises:
        NotJson: malformed text, `NaN` and its like, lone surrogates, integers longer
            than `sys.get_int_max_str_digits()`, nesting deeper than the stack. A float
            too large for a double reads as infinity: `dumps` refuses it.
    """
    try:
        value = _decoder.decode(text)
        if "\\u" in text:
            _encoder.encode(value).encode()
    except NotJson:
        raise
    except RecursionError:
        raise NotJson("the JSON is nested too deeply") from None
    except UnicodeEncodeError:
        raise NotJson("the JSON contains a lone surrogate") from None
    except json.JSONDecodeError as error:
        raise NotJson(f"malformed JSON: {error}") from None
    except ValueError as error:
        raise NotJson(f"the JSON contains a number out of range: {error}") from None
    return value


def dumps(value: Any) -> str:
    """Write compact JSON with unescaped non-ASCII characters.

    Other types are written as Pydantic writes them: models, dataclasses, dates,
    Decimal, UUID, Enum.

    Raises:
        ValueError: infinities, over-long integers, objects of unknown types.
        RecursionError: nesting deeper than the stack.
    """
    try:
        return _encoder.encode(value)
    except TypeError:
        return _encoder.encode(_anything.dump_python(value, mode="json"))
