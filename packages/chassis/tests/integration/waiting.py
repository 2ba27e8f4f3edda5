"""Waiting for conditions."""

import time
from collections.abc import Callable


def wait_until(
    condition: Callable[[], object], what: str, within: float = 30.0
) -> None:
    """Returns when the condition holds. Raises AssertionError when it never does."""
    until = time.monotonic() + within
    while not condition():
        assert time.monotonic() < until, f"not within {within} s: {what}"
        time.sleep(0.02)
