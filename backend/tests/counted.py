"""Counters that tests read."""

from collections import Counter
from collections.abc import Mapping


class Counted:
    """In place of a counter of OpenTelemetry: its numbers by attribute."""

    def __init__(self) -> None:
        self.numbers: Counter[str] = Counter()

    def add(self, amount: int, attributes: Mapping[str, str] | None = None) -> None:
        named = [f"{name}={value}" for name, value in (attributes or {}).items()]
        self.numbers[" ".join(named)] += amount
