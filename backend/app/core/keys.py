"""Idempotency keys: what is stored under one, and the interface of the store."""

from dataclasses import dataclass
from typing import Protocol


@dataclass(frozen=True, slots=True)
class Answer:
    """A finished answer, for replay.

    ``body`` is None if the record of the work holds it, or if it was too long to store.
    """

    status: int
    headers: list[tuple[str, str]]
    body: bytes | None
    is_in_record: bool = False


@dataclass(frozen=True, slots=True)
class Held:
    """The entry that another request left; ``answer`` is None while that one is in
    progress."""

    fingerprint: str
    answer: Answer | None


@dataclass(frozen=True, slots=True)
class Claim:
    """The right to process a request under a key, until the lease ends."""

    name: str
    fingerprint: str
    entry: bytes


class Keys(Protocol):
    """Every method raises KeyStoreUnavailable if the store does not answer."""

    async def claim(self, key: str, fingerprint: str) -> Claim | Held:
        """Claim the key, or return the entry that another request left."""

    async def complete(self, claim: Claim, answer: Answer) -> bool:
        """Store the answer for repeated requests; False if the lease had ended."""

    async def release(self, claim: Claim) -> None:
        """Release the key, so that a repeated request is processed."""
