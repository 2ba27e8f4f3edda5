"""Nothing is lost or changed on the way: client, broker, service, database, client."""

import json
import sys
import unicodedata
from typing import Any

import pytest

from tests.e2e.client import PROCESS, Api, exact


def every_script() -> str:
    """Four characters of every block of 128 that has any, of all categories."""
    characters = []
    for block in range(0, sys.maxunicode + 1, 128):
        assigned = [
            chr(point)
            for point in range(max(block, 1), block + 128)
            if unicodedata.category(chr(point)) not in ("Cn", "Cs", "Co")
        ]
        characters += assigned[:: max(1, len(assigned) // 4)]
    return "".join(characters)


TEXTS = {
    "every script": every_script(),
    "control characters": "".join(map(chr, range(1, 32))) + "\x7f\x85",
    "line separators": "\u2028\u2029\r\n",
    "noncharacters": "\ufffe\uffff\U0001fffe\U0010ffff",
    "private use": "\ue000\U000f0000",
    "combining and joined": "e\u0301 é 👩\u200d👩\u200d👧 🇩🇪 \u202eabc\u202c",
    "looks like an escape": r"\u0000 \ud800 \\ \" %00 &lt; ' ; --",
    "long": "ä" * 100_000,
}

NUMBERS: list[int | float] = [
    *(0, -1, 2**31, 2**53 + 1, 2**63 - 1, 2**63, -(2**63) - 1, 2**64, 10**400),
    int("9" * 1000),
    *(0.0, -0.0, 0.1, 1e16, 1e22, 1e23, 5e-324, 2.2250738585072014e-308),
    *(1.7976931348623157e308, -1.5, 123456789012345680.0, 100.0, 1 / 3),
]

STRUCTURES: dict[str, Any] = {
    "empty keys": {"": "", " ": {"": [{}]}},
    "order of keys": {"b": 1, "a": 2, "10": 3, "9": 4},
    "type markers of kombu": {"__type__": "datetime", "__value__": "2026-01-01"},
    "nested type markers": [{"x": {"__type__": "uuid", "__value__": "no uuid"}}],
    "markers of others": [
        {"py/object": "os.system", "$ref": "#/x", "__proto__": {}, "constructor": 1},
        {"__class__": "x", "__reduce__": [], "@type": "x", "!!python": 1},
    ],
    "keys with odd characters": {"a.b": 1, "a\nb": 2, "日本": 3, "\u2028": 4, '"': 5},
    "dates as text": ["2026-01-01T00:00:00Z", "NaN", "Infinity", "null", "true"],
    "numbers and booleans": [1, 1.0, True, 0, -0.0, False, None, "1"],
    "the request's own names": {
        "payload": 1,
        "description": "reverse",
        "status": "failure",
        "output": None,
        "code": "internal_error",
    },
    "99 deep": json.loads("[" * 98 + "{}" + "]" * 98),
    "many items": list(range(20_000)),
    "numbers in a structure": [{"n": number} for number in NUMBERS],
}

VALUES = (
    [pytest.param(value, id=f"text: {name}") for name, value in TEXTS.items()]
    + [pytest.param(value, id=f"number: {str(value)[:25]}") for value in NUMBERS]
    + [pytest.param(value, id=name) for name, value in STRUCTURES.items()]
)


@pytest.mark.promise(
    "docs/adr/0009-strict-json.md",
    "Accepted values are processed, stored and returned unchanged",
)
@pytest.mark.parametrize("way", ["process", "process_async"])
@pytest.mark.parametrize("value", VALUES)
def test_values_return_unchanged(api: Api, way: str, value: Any) -> None:
    record = getattr(api, way)(value)

    assert record["task_status"] == "Success", record
    assert exact(record["payload"]) == exact(value)
    assert exact(record["outcome"]["input"]) == exact(value)
    listed = api.get_json("/api/v1/database/records", limit=1)
    assert exact(listed[0]["payload"]) == exact(value)


@pytest.mark.parametrize("way", ["process", "process_async"])
@pytest.mark.parametrize("text", TEXTS.values(), ids=list(TEXTS))
def test_text_is_reversed_by_its_characters(api: Api, way: str, text: str) -> None:
    record = getattr(api, way)(text, "reverse")
    assert record["outcome"]["output"] == text[::-1]


@pytest.mark.parametrize("way", ["process", "process_async"])
def test_descriptions_return_unchanged(api: Api, way: str) -> None:
    description = "für 日本 👩\u200d👩\u200d👧 \x01\n\u2028"
    assert getattr(api, way)(1, description)["description"] == description


def test_escaped_and_plain_text_are_the_same(api: Api) -> None:
    value = {"ключ": "😀 é"}
    plain = json.dumps({"payload": value}, ensure_ascii=False).encode()
    escaped = json.dumps({"payload": value}).encode()

    for body in (plain, escaped):
        assert api.send(PROCESS, body).json()["outcome"]["input"] == value
