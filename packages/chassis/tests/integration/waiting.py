"""Waits for conditions."""

import time
from collections.abc import Callable
from pathlib import Path


def wait_until(
    condition: Callable[[], object], what: str = "it comes true", within: float = 30.0
) -> None:
    """Return when the condition holds; fail if it does not in time."""
    until = time.monotonic() + within
    while not condition():
        assert time.monotonic() < until, f"not within {within:g} s: {what}"
        time.sleep(0.02)


def lines(path: Path) -> list[str]:
    """The lines of a file that may not exist yet."""
    return path.read_text().splitlines() if path.exists() else []
