"""Authorization codes: each can be exchanged once, soon, with its verifier (PKCE)."""

import re
import secrets
import time
from collections.abc import Callable
from dataclasses import dataclass
from hashlib import sha256
from hmac import compare_digest

from local.issuer.keys import base64url

#: Seconds that a code is valid.
LIFETIME = 60.0
#: Codes that wait to be exchanged; a new one drops the oldest.
MOST = 1_000

CHALLENGE = re.compile(r"[A-Za-z0-9_-]{43}")
VERIFIER = re.compile(r"[A-Za-z0-9._~-]{43,128}")


@dataclass(frozen=True)
class Grant:
    """What somebody has agreed to, and for which request."""

    client_id: str
    redirect_uri: str
    challenge: str
    user: str
    scope: str
    nonce: str | None


class Codes:
    """In memory: a restart of the issuer forgets them."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._grants: dict[str, tuple[Grant, float]] = {}

    def create(self, grant: Grant) -> str:
        """A new code for it."""
        while len(self._grants) >= MOST:
            del self._grants[next(iter(self._grants))]
        code = secrets.token_urlsafe(32)
        self._grants[code] = grant, self._clock() + LIFETIME
        return code

    def take(self, code: str) -> Grant | None:
        """The code's grant. From now on the code is worth nothing."""
        grant, ends = self._grants.pop(code, (None, 0.0))
        return grant if self._clock() < ends else None


def fits(verifier: str, challenge: str) -> bool:
    """Whether the challenge was made from the verifier, by S256 (RFC 7636)."""
    if not VERIFIER.fullmatch(verifier):
        return False
    made = base64url(sha256(verifier.encode()).digest())
    return compare_digest(made, challenge)
