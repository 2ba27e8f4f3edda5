"""An OpenID Connect provider in this process: real HTTP, and faults on demand."""

import json
import ssl
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from itertools import count
from typing import Any

import jwt
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric.ec import SECP256R1
from cryptography.hazmat.primitives.asymmetric.ec import generate_private_key as ec_key
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.asymmetric.rsa import (
    RSAPrivateKey,
    generate_private_key,
)
from jwt.algorithms import ECAlgorithm, OKPAlgorithm, RSAAlgorithm

AUDIENCE = "kit"
ENOUGH = 8  # keys of RSA: more than a test has at a time

_FAMILIES: dict[str, Any] = {"RS": RSAAlgorithm, "PS": RSAAlgorithm}
_FAMILIES |= {"ES": ECAlgorithm, "Ed": OKPAlgorithm}


_numbers = count()


@cache
def _rsa_key(number: int) -> RSAPrivateKey:
    """To make one takes a tenth of a second."""
    return generate_private_key(65537, 2048)


class SigningKey:
    """One of its keys, or a stranger's."""

    def __init__(self, key_id: str | None, algorithm: str = "RS256") -> None:
        self.id, self.algorithm = key_id, algorithm
        if algorithm.startswith("ES"):
            self.private: Any = ec_key(SECP256R1())
        elif algorithm == "EdDSA":
            self.private = Ed25519PrivateKey.generate()
        else:
            self.private = _rsa_key(next(_numbers) % ENOUGH)

    def public(self) -> dict[str, Any]:
        """As the provider lists it."""
        family = _FAMILIES[self.algorithm[:2]]
        found: dict[str, Any] = family.to_jwk(self.private.public_key(), as_dict=True)
        named = {"use": "sig"} if self.id is None else {"use": "sig", "kid": self.id}
        return found | named

    def pem(self) -> bytes:
        """The public key as many servers publish it."""
        form = serialization.PublicFormat.SubjectPublicKeyInfo
        pem: bytes = self.private.public_key().public_bytes(
            serialization.Encoding.PEM, form
        )
        return pem

    def sign(self, claims: dict[str, Any], **header: Any) -> str:
        """A token. A claim or a header with the value None is left out."""
        named = {"kid": self.id, **header}
        algorithm = named.pop("alg", self.algorithm)
        return jwt.encode(
            {name: value for name, value in claims.items() if value is not None},
            self.private,
            algorithm,
            {name: value for name, value in named.items() if value is not None},
        )


class FakeProvider:
    """``keys`` are those it lists; ``requests`` are the paths and times of requests.

    ``answers`` replaces what a path answers: a status code, bytes, a text to where it
    redirects, or a function that returns bytes.
    """

    def __init__(self, port: int, scheme: str = "http") -> None:
        self.issuer = f"{scheme}://127.0.0.1:{port}"
        self.keys = [SigningKey("one")]
        self.answers: dict[str, Any] = {}
        self.requests: list[tuple[str, float]] = []

    def claims(self, **changed: Any) -> dict[str, Any]:
        """What a token of alice says, with these changes."""
        now = int(time.time())
        return {
            "iss": self.issuer,
            "aud": AUDIENCE,
            "sub": "alice",
            "iat": now,
            "exp": now + 300,
            "scope": "data:process records:read",
        } | changed

    def token(self, **changed: Any) -> str:
        """A token of alice, signed with the newest key."""
        return self.keys[-1].sign(self.claims(**changed))

    def answer(self, path: str) -> int | bytes | str:
        """A status code, the body of a 200, or the place of a 302."""
        self.requests.append((path, time.monotonic()))
        if path in self.answers:
            found = self.answers[path]
            return found() if callable(found) else found  # type: ignore[no-any-return]
        if path == "/keys":
            return json.dumps({"keys": [key.public() for key in self.keys]}).encode()
        if path == "/.well-known/openid-configuration":
            named = {"issuer": self.issuer, "jwks_uri": f"{self.issuer}/keys"}
            return json.dumps(named).encode()
        return 404


@contextmanager
def running_provider(
    port: int = 0, tls: ssl.SSLContext | None = None
) -> Iterator[FakeProvider]:
    """Serve until the end of the block, over HTTPS with ``tls``."""

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            found = provider.answer(self.path)
            body = found if isinstance(found, bytes) else b""
            if isinstance(found, str):
                self.send_response(302)
                self.send_header("Location", found)
            else:
                self.send_response(found if isinstance(found, int) else 200)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_: Any) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", port), Handler)
    if tls:
        server.socket = tls.wrap_socket(server.socket, server_side=True)
    provider = FakeProvider(server.server_port, "https" if tls else "http")
    thread = threading.Thread(target=server.serve_forever, args=(0.01,))
    thread.start()
    try:
        yield provider
    finally:
        server.shutdown()
        server.server_close()
        thread.join()
