"""The data service's work: one payload in, one outcome out."""

import math
import time
from collections.abc import Callable
from datetime import datetime, timezone
from typing import Any, NamedTuple

from chassis import json_text
from chassis.errors import ServiceError

#: Results with more bits (about 3,900 digits) are refused: the cost of writing an
#: integer in decimal grows with the square of its length, and Python stops at 4,300
#: digits.
MAX_INTEGER_BITS = 13_000


class Operation(NamedTuple):
    name: str
    apply: Callable[[Any], Any]


class PayloadType(NamedTuple):
    """Operations by name for one payload type; `default` applies without a name."""

    task_type: str
    default: Operation
    operations: dict[str, Operation]


def _finite(number: int | float) -> int | float:
    if isinstance(number, float):
        if not math.isfinite(number):
            raise ServiceError("not_finite", "the result is not a finite number")
    elif number.bit_length() > MAX_INTEGER_BITS:
        raise ServiceError("integer_too_long", "the result has too many digits")
    return number


def _order_kind(item: Any) -> str:
    """Items of one kind can be sorted; "" is for items that never can."""
    if isinstance(item, bool):
        return "boolean"
    if isinstance(item, int | float):
        return "number"
    return "string" if isinstance(item, str) else ""


def _sorted(items: list[Any]) -> list[Any]:
    kinds = {_order_kind(item) for item in items}
    if len(kinds) > 1 or "" in kinds:
        raise ServiceError(
            "unsortable_list",
            "a list to sort must hold only numbers, only strings or only booleans",
        )
    return sorted(items)


def _payload_type(
    task_type: str,
    default: tuple[str, Callable[[Any], Any]],
    **operations: Callable[[Any], Any],
) -> PayloadType:
    named = {name: Operation(name, apply) for name, apply in operations.items()}
    return PayloadType(task_type, Operation(*default), named)


STRING = _payload_type(
    "string",
    ("prefix", lambda payload: f"Processed: {payload}"),
    uppercase=str.upper,
    reverse=lambda payload: payload[::-1],
)
NUMBER = _payload_type(
    "number",
    ("echo", _finite),
    square=lambda payload: _finite(payload * payload),
    double=lambda payload: _finite(payload + payload),
)
LIST = _payload_type(
    "list",
    ("describe", lambda payload: {"count": len(payload), "items": payload}),
    reverse=lambda payload: payload[::-1],
    sort=_sorted,
)
DICT = _payload_type(
    "dict",
    (
        "describe",
        lambda payload: {
            "data": payload,
            "processed": True,
            "keys_count": len(payload),
        },
    ),
)
GENERIC = _payload_type(
    "generic", ("wrap", lambda payload: {"value": payload, "processed": True})
)

#: By the exact classes that `json` creates, so a boolean is not a number.
PAYLOAD_TYPES: dict[type, PayloadType] = {
    str: STRING,
    int: NUMBER,
    float: NUMBER,
    list: LIST,
    dict: DICT,
    bool: GENERIC,
    type(None): GENERIC,
}


def _input_length(payload: Any) -> int:
    """Length of a string or list, keys of an object, digits of a number's JSON."""
    if isinstance(payload, str | list | dict):
        return len(payload)
    return len(json_text.dumps(payload))


class DataService:
    """Transforms a payload with the operation that the description names."""

    def call(self, data: str) -> tuple[str, str]:
        """Process the JSON of `{"payload": any, "description": string or null}`.

        Returns the JSON of the outcome, and the task type. Raises ServiceError with
        code `invalid_request`, `unsortable_list`, `not_finite` or `integer_too_long`.
        Thread-safe.
        """
        started = time.perf_counter()
        payload, description = self._parse(data)
        kind = PAYLOAD_TYPES[type(payload)]
        operation = kind.operations.get(description.strip().lower(), kind.default)
        try:
            outcome = {
                "status": "success",
                "processed_at": datetime.now(timezone.utc).isoformat(),
                "input": payload,
                "output": operation.apply(payload),
                "metadata": {
                    "input_length": _input_length(payload),
                    "operation": operation.name,
                    "processing_time_ms": round(
                        (time.perf_counter() - started) * 1000, 3
                    ),
                },
            }
            return json_text.dumps(outcome), kind.task_type
        except RecursionError:
            raise ServiceError(
                "invalid_request", "the payload is nested too deeply"
            ) from None
        except ValueError:
            # The only value that can be read but not written is a literal like 1e400.
            raise ServiceError(
                "not_finite", "the payload contains a number that is not finite"
            ) from None

    @staticmethod
    def _parse(data: str) -> tuple[Any, str]:
        try:
            request = json_text.loads(data)
        except json_text.NotJson as error:
            raise ServiceError("invalid_request", str(error)) from None
        if not isinstance(request, dict) or "payload" not in request:
            raise ServiceError(
                "invalid_request", "the request must be an object with a payload"
            )
        description = request.get("description")
        if description is not None and not isinstance(description, str):
            raise ServiceError(
                "invalid_request", "the description must be a string or null"
            )
        return request["payload"], description or ""
