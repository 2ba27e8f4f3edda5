"""TLS of a stack, where `make certs` has put its files: `make run ARGS=--tls`.

A stack without TLS has none of this: `State.tls` is None.
"""

import os
import shutil
import ssl
import urllib.request
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import quote

from local import ports

FOLDER = Path(__file__).resolve().parent.parent / ".local" / "tls"

# The servers and their other names; the first name is that of the container.
SERVERS: dict[str, tuple[str, ...]] = {
    "nginx": (),
    "api": (),
    "postgres": (),
    "redis": (),
    "redis-keys": (),
    "rabbitmq": ("rabbitmq-service",),
    "otel-collector": (),
}
HERE = ("localhost", "127.0.0.1", "::1")


@dataclass(frozen=True)
class Tls:
    """The files of one folder. `run` says so if PostgreSQL or Redis cannot use them."""

    folder: Path = FOLDER

    @property
    def ca(self) -> Path:
        """The authority that clients trust."""
        return self.folder / "ca.crt"

    @property
    def quoted_ca(self) -> str:
        """The same, in a URL's query."""
        return quote(str(self.ca), safe="/")

    def certificate(self, name: str) -> tuple[Path, Path]:
        """Certificate and key of a server."""
        return self.folder / f"{name}.crt", self.folder / f"{name}.key"

    def place(self, name: str, target: Path, uid: int | None = None) -> None:
        """Copy them to `target`, as server.crt and server.key, beside ca.crt.

        Servers read relative paths there: some fail on spaces in a path, and PostgreSQL
        wants a key of its own user.
        """
        target.mkdir(mode=0o700, exist_ok=True)
        certificate, key = self.certificate(name)
        for source, file in (
            (self.ca, "ca.crt"),
            (certificate, "server.crt"),
            (key, "server.key"),
        ):
            copy = target / file
            copy.unlink(missing_ok=True)
            copy.touch(mode=0o600)
            shutil.copyfile(source, copy)
            if uid is not None:
                os.chown(copy, uid, uid)

    def client(self) -> ssl.SSLContext:
        """Verifies with our authority alone."""
        return ssl.create_default_context(cafile=str(self.ca))

    def server(self, name: str) -> ssl.SSLContext:
        """For a server in Python."""
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(*self.certificate(name))
        return context


def scheme(tls: Tls | None) -> str:
    """Of HTTP."""
    return "https" if tls else "http"


def open_url(
    url: urllib.request.Request | str, timeout: float, tls: Tls | None = None
) -> Any:
    """Open a URL of this machine; no proxy of the environment gets the request."""
    if tls is None:
        return ports.DIRECT.open(url, timeout=timeout)
    handler = urllib.request.HTTPSHandler(context=tls.client())
    no_proxy = urllib.request.ProxyHandler({})
    opener = urllib.request.build_opener(no_proxy, handler)
    return opener.open(url, timeout=timeout)
