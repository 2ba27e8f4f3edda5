"""Which JSON the API accepts, and how it refuses the rest."""

import json
from functools import partial
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from app.api import strict_json
from app.api.strict_json import MAX_DEPTH, MAX_DIGITS, BodyRefused

parse_json = partial(strict_json.parse_json, max_values=50_000)

storable_text = st.text(
    st.characters(exclude_categories=["Cs"], exclude_characters="\0")
)
json_values: st.SearchStrategy[Any] = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats(allow_nan=False, allow_infinity=False)
    | storable_text,
    lambda inner: st.lists(inner) | st.dictionaries(storable_text, inner),
    max_leaves=20,
)


@pytest.mark.promise(
    "docs/adr/0009-strict-json.md",
    "Accepted values are processed, stored and returned unchanged",
)
@given(json_values, st.booleans())
def test_every_storable_value_passes_unchanged(value: Any, ensure_ascii: bool) -> None:
    assert parse_json(json.dumps(value, ensure_ascii=ensure_ascii).encode()) == value


@pytest.mark.parametrize(
    ("number", "code"),
    [
        (b"1e400", "not_finite"),
        (b"-1.5E+999", "not_finite"),
        (b"9" * 400 + b".0", "not_finite"),
        (b"2" + b"0" * 308 + b".0", "not_finite"),  # the shortest without an exponent
        (b"9" * (MAX_DIGITS + 1), "too_many_digits"),
        (b"9" * 5000, "too_many_digits"),
    ],
    ids=lambda value: repr(value[:20]) if isinstance(value, bytes) else None,
)
def test_one_bad_number_among_many_is_found(number: bytes, code: str) -> None:
    """A body with many numbers takes another path in the parser."""
    with pytest.raises(BodyRefused) as refused:
        parse_json(b"[" + b"1.5," * 1000 + number + b"]")
    assert refused.value.code == code


@given(st.lists(st.integers() | st.floats(allow_nan=False, allow_infinity=False)))
def test_many_numbers_pass_unchanged(numbers: list[float]) -> None:
    many = [*numbers, *range(300), 10**299, -(10**299), 0.5]
    assert repr(parse_json(json.dumps(many).encode())) == repr(many)


def nested(depth: int) -> bytes:
    return b"[" * depth + b"]" * depth


@pytest.mark.parametrize(
    "body",
    [
        nested(MAX_DEPTH),
        b'{"a":' * MAX_DEPTH + b"1" + b"}" * MAX_DEPTH,
        b"[" + b"[]," * 500 + b"[]]",
        b"9" * MAX_DIGITS,
        b"-" + b"9" * (MAX_DIGITS - 1),
        rb'"\ud83d\ude00"',
        rb'"\\u0000"',
        b"1.7976931348623157e308",
    ],
    ids=lambda body: repr(body[:20]),
)
@pytest.mark.budget("strict_json.MAX_DEPTH", "strict_json.MAX_DIGITS")
def test_bounds_are_inclusive(body: bytes) -> None:
    assert parse_json(body) == json.loads(body)


@pytest.mark.parametrize(
    ("body", "status", "code"),
    [
        (b"", 400, "malformed_json"),
        (b"{", 400, "malformed_json"),
        (b"[1,]", 400, "malformed_json"),
        (b"NaN", 400, "malformed_json"),
        (b"[-Infinity]", 400, "malformed_json"),
        (b"\xff", 400, "malformed_json"),
        (b"\xef\xbb\xbf1", 400, "malformed_json"),
        (b'"\0"', 400, "malformed_json"),
        (b"1e400", 422, "not_finite"),
        (b"[-1e400]", 422, "not_finite"),
        (b"9" * (MAX_DIGITS + 1), 422, "too_many_digits"),
        (b"9" * 5000, 422, "too_many_digits"),
        (rb'"\ud800"', 422, "unstorable_text"),
        (rb'{"\udfff": 1}', 422, "unstorable_text"),
        (rb'"a\u0000"', 422, "unstorable_text"),
        (rb'[[{"a": ["\u0000"]}]]', 422, "unstorable_text"),
        (b"[" + b"[]," * MAX_DEPTH + rb'"\u0000"]', 422, "unstorable_text"),
        (nested(MAX_DEPTH + 1), 422, "too_deep"),
        (nested(2000), 422, "too_deep"),
        (nested(100_000), 422, "too_many_values"),
    ],
    ids=lambda value: repr(value[:20]) if isinstance(value, bytes) else None,
)
@pytest.mark.budget("strict_json.MAX_DEPTH", "strict_json.MAX_DIGITS")
def test_invalid_json_is_refused(body: bytes, status: int, code: str) -> None:
    with pytest.raises(BodyRefused) as refused:
        parse_json(body)
    assert (refused.value.status_code, refused.value.code) == (status, code)
