"""What is kept under an idempotency key, and what keeps it."""

from dataclasses import dataclass
from typing import Protocol


@dataclass(frozen=True, slots=True)
class Answer:
    """A finished answer, as it is given again.

    ``body`` is None if it is read from the record of the work, or if it was too long to
    be kept.
    """

    status: int
    headers: list[tuple[str, str]]
    body: bytes | None
    is_in_record: bool = False


@dataclass(frozen=True, slots=True)
class Held:
    """What another request left under the key; ``answer`` is None while it works."""

    fingerprint: str
    answer: Answer | None


@dataclass(frozen=True, slots=True)
class Claim:
    """The right to work on a key, until its lease ends."""

    name: str
    fingerprint: str
    entry: bytes


class Keys(Protocol):
    """Every method raises KeyStoreUnavailable if the keys cannot be read."""

    async def claim(self, key: str, fingerprint: str) -> Claim | Held:
        """Take the key, or see what another request left there."""

    async def complete(self, claim: Claim, answer: Answer) -> bool:
        """Keep the answer for the next who sends the key; False: the lease was over."""

    async def release(self, claim: Claim) -> None:
        """Let the next who sends the key do the work."""
