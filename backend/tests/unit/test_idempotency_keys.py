"""How the idempotency middleware reads a request."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from app.core.exceptions import Malformed
from app.core.idempotency import fingerprint, parse_key


@pytest.mark.parametrize(
    ("value", "key"),
    [
        (
            b"8e03978e-40d5-43dd-bc93-6894a57f9324",
            "8e03978e-40d5-43dd-bc93-6894a57f9324",
        ),
        (b'"8e03978e-40d5"', "8e03978e-40d5"),
        (b" order/1:x=y~ ", "order/1:x=y~"),
        (b'"with spaces, and; more"', "with spaces, and; more"),
        (rb'"a \"quoted\" \\ one"', 'a "quoted" \\ one'),
        (b"x" * 255, "x" * 255),
    ],
)
@pytest.mark.budget("idempotency.MAX_LENGTH")
def test_keys(value: bytes, key: str) -> None:
    assert parse_key([value]) == key


@pytest.mark.parametrize(
    "values",
    [
        [b""],
        [b'""'],
        [b"two words"],
        [b"a,b"],
        [b"a;b=1"],
        [b'"open'],
        [b'"a"b"'],
        [rb'"\a"'],
        [b'"a", "b"'],
        [b"\xc3\xa9"],
        [b"a\tb"],
        [b"x" * 256],
        [b"a", b"a"],
    ],
)
@pytest.mark.budget("idempotency.MAX_LENGTH")
def test_malformed_keys(values: list[bytes]) -> None:
    with pytest.raises(Malformed):
        parse_key(values)


@given(st.text(st.characters(min_codepoint=0x20, max_codepoint=0x7E), min_size=1))
def test_every_rfc_string_is_a_key(text: str) -> None:
    key = text[:255]
    quoted = key.replace("\\", r"\\").replace('"', r"\"")
    assert parse_key([b'"%b"' % quoted.encode()]) == key


parts = st.tuples(
    st.sampled_from(["POST", "PUT"]), st.text(), st.binary(), st.binary(max_size=50)
)


def digest(method: str, path: str, query: bytes, body: bytes) -> str:
    scope = {"method": method, "path": path, "query_string": query}
    return fingerprint(scope, body)


@given(parts, parts)
def test_only_the_same_request_has_the_same_fingerprint(
    one: tuple[str, str, bytes, bytes], other: tuple[str, str, bytes, bytes]
) -> None:
    assert (digest(*one) == digest(*other)) == (one == other)


def test_fingerprint_parts_are_delimited() -> None:
    assert digest("POST", "/a", b"b", b"") != digest("POST", "/a", b"", b"b")
    assert digest("POST", "/a", b"", b"1:b") != digest("POST", "/a", b"1:b", b"")
