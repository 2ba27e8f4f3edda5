"""Certificates that a client must refuse, each for one reason."""

import socket
import ssl
import threading
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
    "wrong name": "not valid for|Hostname mismatch|IP address mismatch"
    "|does not match",
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


class TlsPort:
    """Accepts TLS, and PostgreSQL's wish for it; keeps what clients say inside."""

    def __init__(self, context: ssl.SSLContext) -> None:
        self.context, self.heard, self.accepted = context, b"", 0
        context.set_alpn_protocols(["h2", "http/1.1"])  # gRPC wants it
        self.listener = socket.create_server(("127.0.0.1", 0))
        self.port: int = self.listener.getsockname()[1]
        threading.Thread(target=self._accept, daemon=True).start()

    def _accept(self) -> None:
        while True:
            try:
                connection, _ = self.listener.accept()
            except OSError:
                return
            self.accepted += 1
            threading.Thread(
                target=self._answer, args=(connection,), daemon=True
            ).start()

    def _answer(self, connection: socket.socket) -> None:
        connection.settimeout(5)
        try:
            if connection.recv(1, socket.MSG_PEEK) == b"\0":  # an SSLRequest
                connection.recv(8)
                connection.sendall(b"S")
            with self.context.wrap_socket(connection, server_side=True) as inside:
                self.heard += inside.recv(1024)
        except OSError:
            connection.close()
