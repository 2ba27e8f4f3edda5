"""How long to wait before the next attempt to connect."""

import random


class Backoff:
    """Doubles from ``first`` to ``longest`` seconds; each wait is jittered by half.

    The jitter keeps replicas that lost one broker together from returning together.
    """

    def __init__(self, first: float = 0.1, longest: float = 2.0) -> None:
        self._first = first
        self.longest = longest
        self._next = first

    def next_delay(self) -> float:
        """Seconds until the next attempt."""
        delay, self._next = self._next, min(self._next * 2, self.longest)
        return delay * random.uniform(0.5, 1.0)  # nosec: jitter

    def reset(self) -> None:
        """The connection held: the next loss waits from the start again."""
        self._next = self._first
