"""How long to wait before the next attempt to connect."""

import random


class Backoff:
    """Doubles from ``first`` to ``longest`` seconds; the jitter is up to half of each
    wait.

    Without jitter, replicas that lost one broker together would return together.
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
        """The connection held: the next loss starts with the shortest wait."""
        self._next = self._first
