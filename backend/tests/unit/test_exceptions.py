"""What errors tell a client beside their text."""

from typing import Any

import pytest

from app.core.exceptions import Forbidden, RateLimited, Unauthenticated


@pytest.mark.parametrize(
    ("kind", "words", "code", "challenge"),
    [
        (Unauthenticated, {}, "unauthenticated", "Bearer"),
        (
            Unauthenticated,
            {"is_token": True},
            "invalid_token",
            'Bearer error="invalid_token", error_description="Why."',
        ),
        (Forbidden, {}, "insufficient_scope", 'Bearer error="insufficient_scope"'),
        (
            Forbidden,
            {"scope": "read"},
            "insufficient_scope",
            'Bearer error="insufficient_scope", scope="read"',
        ),
    ],
    ids=["no-token", "bad-token", "forbidden", "scope"],
)
def test_a_challenge_says_what_is_missing(
    kind: type[Unauthenticated | Forbidden],
    words: dict[str, Any],
    code: str,
    challenge: str,
) -> None:
    error = kind("Why.", **words)
    assert (error.detail, error.code) == ("Why.", code)
    assert error.challenge == challenge


def test_an_invalid_token_has_a_title_of_its_own() -> None:
    titles = [Unauthenticated("x", is_token=flag).title for flag in (False, True)]
    assert titles == ["Authentication required", "The token is not valid"]


def test_a_limited_caller_may_come_back() -> None:
    assert RateLimited("Wait.").retry_after == 1
    error = RateLimited("Wait.", 7)
    assert (error.detail, error.retry_after) == ("Wait.", 7)
