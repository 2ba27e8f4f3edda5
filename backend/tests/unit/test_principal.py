"""Whose rows a caller sees."""

import pytest

from app.core.principal import ADMIN, ANYBODY, EVERYBODY, Principal


@pytest.mark.parametrize(
    ("caller", "owner"),
    [
        (Principal("alice", frozenset({"records:read"})), "alice"),
        (Principal("alice", frozenset({ADMIN})), None),
        (EVERYBODY, None),
        (ANYBODY, ""),  # that of no row
        (Principal(None), ""),
    ],
)
def test_only_an_admin_sees_all_rows(caller: Principal, owner: str | None) -> None:
    assert caller.sees == owner
