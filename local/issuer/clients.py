"""The two clients: one for people in a browser or a terminal, one for programs."""

import secrets
from dataclasses import dataclass
from hmac import compare_digest
from pathlib import Path
from urllib.parse import urlsplit

from local.issuer.keys import write_private

SECRET_FILE = "client-secret"
#: Public: it has no secret, and proves with PKCE that a code is its own.
PERSON = "local-person"
#: Confidential: it gets tokens for itself.
MACHINE = "local-machine"

# A program on this machine listens on a port that it cannot choose beforehand, so the
# port is free there (RFC 8252, section 7.3).
CALLBACK_PATH = "/callback"
CALLBACK = f"http://127.0.0.1{CALLBACK_PATH}"
_LOOPBACK = ("127.0.0.1", "[::1]", "localhost")


@dataclass(frozen=True)
class Clients:
    """`redirect_uris` are those of the documentation pages; `secret` is that of
    MACHINE."""

    redirect_uris: frozenset[str]
    secret: str

    def may_return_to(self, client_id: str, redirect_uri: str) -> bool:
        """Whether a code of that client may be sent there."""
        if client_id != PERSON:
            return False
        return redirect_uri in self.redirect_uris or is_callback(redirect_uri)

    def is_machine(self, client_id: str, secret: str) -> bool:
        """Whether these are the credentials of MACHINE."""
        return client_id == MACHINE and compare_digest(
            secret.encode(), self.secret.encode()
        )


def is_callback(uri: str) -> bool:
    """Whether it is http://127.0.0.1:PORT/callback, or the same with another name of
    this machine, and nothing else."""
    try:
        port = urlsplit(uri).port
    except ValueError:
        return False
    named = "" if port is None else f":{port}"
    return uri in [f"http://{host}{named}{CALLBACK_PATH}" for host in _LOOPBACK]


def kept_secret(folder: Path) -> str:
    """The secret of MACHINE in that folder; a new one if it has none."""
    file = folder / SECRET_FILE
    if not file.exists():
        write_private(file, secrets.token_urlsafe(32).encode())
    return file.read_text().strip()
