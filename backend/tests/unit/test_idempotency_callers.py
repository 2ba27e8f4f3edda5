"""Two callers with one key and one body are two requests: their task ids are made of
the fingerprint, so one would get the other's record."""

from typing import Any

from app.core.idempotency import fingerprint
from chassis.context import current_principal

SCOPE: dict[str, Any] = {"method": "POST", "path": "/x", "query_string": b""}


def fingerprint_of(caller: str | None) -> str:
    token = current_principal.set(caller)
    try:
        return fingerprint(SCOPE, b"{}")
    finally:
        current_principal.reset(token)


def test_each_caller_has_fingerprints_of_its_own() -> None:
    callers = (None, "alice", "bob")
    assert len({fingerprint_of(caller) for caller in callers}) == len(callers)
    assert fingerprint_of("alice") == fingerprint_of("alice")
