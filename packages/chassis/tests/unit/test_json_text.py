import json
import math
import time
from contextlib import suppress
from dataclasses import dataclass
from datetime import UTC, date, datetime
from decimal import Decimal
from enum import Enum
from typing import Any
from uuid import UUID

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import BaseModel

from chassis import json_text

text = st.text(st.characters(exclude_categories=["Cs"]))  # UTF-8 has no lone surrogates
integers = st.integers() | st.integers(min_value=-(10**1000), max_value=10**1000)
floats = st.floats(allow_nan=False, allow_infinity=False)
values: st.SearchStrategy[Any] = st.recursive(
    st.none() | st.booleans() | integers | floats | text,
    lambda children: st.lists(children) | st.dictionaries(text, children),
    max_leaves=20,
)


@given(values)
def test_every_value_survives_the_wire(value: Any) -> None:
    wire = json_text.dumps(value).encode()
    again = json_text.loads(wire.decode())
    assert again == value
    assert repr(again) == repr(value)  # 1, 1.0 and true are equal, but not the same


@given(values)
def test_escaped_text_is_read_alike(value: Any) -> None:
    assert json_text.loads(json.dumps(value, indent=1)) == value


def test_writes_compact_utf8() -> None:
    assert json_text.dumps({"ä": [1, "日本", None]}) == '{"ä":[1,"日本",null]}'


def test_reads_a_pair_of_surrogates_as_one_character() -> None:
    assert json_text.loads(r'"\ud83d\ude00"') == "😀"


@pytest.mark.parametrize(
    "text",
    [
        "",
        "{",
        "nul",
        '{"a":1} x',
        "NaN",
        "[Infinity]",
        '{"a":-Infinity}',
        r'"\ud800"',
        r'{"\uDFFF":1}',
        '"\x00"',
        "[" * 100_000,
        "[" * 100_000 + "]" * 100_000,
        '{"a":' * 100_000 + "1" + "}" * 100_000,
        "1" * 5_000,
        "-" + "9" * 4_301,
    ],
    ids=lambda text: text[:12] or "empty",
)
def test_refuses_what_is_not_json(text: str) -> None:
    with pytest.raises(json_text.NotJson):
        json_text.loads(text)


def test_a_float_too_large_is_read_but_not_written() -> None:
    value = json_text.loads("1e400")
    assert math.isinf(value)
    with pytest.raises(ValueError):
        json_text.dumps(value)


class Colour(Enum):
    RED = "red"


@dataclass
class Point:
    x: Decimal


class Order(BaseModel):
    id: UUID
    at: datetime
    points: list[Point]


def test_writes_types_that_json_lacks() -> None:
    order = Order(
        id=UUID(int=1),
        at=datetime(2026, 1, 1, tzinfo=UTC),
        points=[Point(Decimal("1.10"))],
    )
    assert json.loads(json_text.dumps({"payload": [order], Colour.RED: date.min})) == {
        "payload": [
            {
                "id": "00000000-0000-0000-0000-000000000001",
                "at": "2026-01-01T00:00:00Z",
                "points": [{"x": "1.10"}],
            }
        ],
        "red": "0001-01-01",
    }


def test_refuses_objects_of_unknown_types() -> None:
    with pytest.raises(ValueError, match="object"):
        json_text.dumps({"a": object()})


@pytest.mark.parametrize(
    ("text", "count"),
    [
        ("1", 1),
        ('"a,[{,\\",["', 1),
        ("[]", 1),
        ('[ ] {"a": { }}', 2),
        ("[1, 2, [3], {}]", 6),
        ('{"a,b": [",", "["], "c\\\\": {"d": null}}', 6),
    ],
)
def test_values_are_counted_before_parsing(text: str, count: int) -> None:
    json_text.check_values(text.encode(), count)
    with pytest.raises(json_text.TooManyValues):
        json_text.check_values(text.encode(), count - 1)


@pytest.mark.parametrize("unit", ['"', ",", "[", "[]", '\\"', '"",', "[ ", '"\\'])
def test_counting_takes_linear_time(unit: str) -> None:
    text = (unit * 500_000 + "," * 60_000).encode()
    began = time.process_time()
    with suppress(json_text.TooManyValues):
        json_text.check_values(text, 50_000)
    assert time.process_time() - began < 1  # quadratic time would be hours


@pytest.mark.parametrize(
    ("text", "fault"),
    [
        ("[" * 100_000, "the JSON is nested too deeply"),
        (r'"\ud800"', "the JSON contains a lone surrogate"),
        ("{", "malformed JSON: Expecting property name"),
        ("9" * 5000, "the JSON contains a number out of range: Exceeds the limit"),
        ("[-Infinity]", "-Infinity is not JSON"),
    ],
)
def test_a_caller_reads_what_is_wrong(text: str, fault: str) -> None:
    with pytest.raises(json_text.NotJson) as refused:
        json_text.loads(text)
    assert str(refused.value).startswith(fault)
