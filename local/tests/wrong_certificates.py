"""Certificates that a client must refuse, each for one reason."""

from pathlib import Path

import pytest

from local import certificates
from local.tls import Tls

KINDS = ("stranger", "expired", "wrong name")
# What OpenSSL says of each, whatever the client.
REASONS = {
    "stranger": "unable to get local issuer certificate|self-signed certificate"
    "|certificate signature failure|unable to verify",
    "expired": "certificate has expired",
    "wrong name": "not valid for|Hostname mismatch|IP address mismatch",
}


def wrong(folder: Path, kind: str) -> tuple[Tls, Tls]:
    """What the client trusts, and what the server shows."""
    trusted, shown = Tls(folder / "trusted"), Tls(folder / "shown")
    with pytest.MonkeyPatch.context() as patch:
        if kind == "expired":
            patch.setattr(certificates, "SERVER_DAYS", 0)
        elif kind == "wrong name":
            patch.setattr(certificates, "HERE", ("elsewhere.example",))
        certificates.ensure(trusted.folder, lambda _: None)
        if kind == "stranger":
            certificates.ensure(shown.folder, lambda _: None)
            return trusted, shown
    return trusted, trusted
