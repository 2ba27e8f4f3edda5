"""JSON as RFC 8259 has it: what is read can be written, sent as UTF-8 and read again.

Python's `json` also reads `NaN`, `Infinity` and escapes of lone surrogates, none of
which can be sent on, and breaks with `RecursionError` on deep nesting.
"""

import json
import re
from typing import Any, NoReturn

from pydantic import TypeAdapter


class NotJson(ValueError):
    """The text is not JSON, or is beyond what this process can hold exactly."""


class TooManyValues(NotJson):
    """The text has more values than are read."""


def _refuse_constant(name: str) -> NoReturn:
    raise NotJson(f"{name} is not JSON")


# Built once: json.dumps() with options builds one for each call.
_decoder = json.JSONDecoder(parse_constant=_refuse_constant)
_encoder = json.JSONEncoder(ensure_ascii=False, allow_nan=False, separators=(",", ":"))
_anything = TypeAdapter[Any](Any)


# All up to the next value: texts, closed or not, and brackets with nothing inside. It
# is possessive, and reaches the end if need be, so that no byte is looked at twice.
_NEXT_VALUE = re.compile(
    rb'(?:[^",\[{]++|"[^"\\]*+(?:\\.[^"\\]*+)*+"?+|[\[{](?=\s*+[\]}]))*+'
    rb"(?:([,\[{])|\Z)",
    re.DOTALL,
)


def most_values(text: bytes) -> int:
    """As many values as the text can have: quickly counted, and often too many."""
    return 1 + text.count(b",") + text.count(b"[") + text.count(b"{")


def check_values(text: bytes, limit: int) -> None:
    """Count the values of a JSON text before any is built; keys are none.

    Raises:
        TooManyValues: there are more than ``limit``.
    """
    if most_values(text) <= limit:
        return
    count = 1
    for found in _NEXT_VALUE.finditer(text):
        count += found.lastindex is not None
        if count > limit:
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
    except RecursionError:
        raise NotJson("the JSON is nested too deeply") from None
    except UnicodeEncodeError:
        raise NotJson("the JSON holds a lone surrogate") from None
    except json.JSONDecodeError as error:
        raise NotJson(f"malformed JSON: {error}") from None
    except ValueError as error:
        raise NotJson(f"the JSON holds a number out of range: {error}") from None
    return value


def dumps(value: Any) -> str:
    """Write compact JSON, non-ASCII characters as they are.

    What JSON has no word for is written as Pydantic does: models, dataclasses, dates,
    Decimal, UUID, Enum.

    Raises:
        ValueError: infinities, over-long integers, an object of no such type.
        RecursionError: nesting deeper than the stack.
    """
    try:
        return _encoder.encode(value)
    except TypeError:
        return _encoder.encode(_anything.dump_python(value, mode="json"))
