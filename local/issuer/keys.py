"""The key that signs tokens; it outlives a restart, and so do the tokens."""

import json
import os
from base64 import urlsafe_b64encode
from hashlib import sha256
from pathlib import Path
from typing import Any, Self

import jwt
from cryptography.hazmat.primitives.asymmetric.rsa import (
    RSAPrivateKey,
    generate_private_key,
)
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    NoEncryption,
    PrivateFormat,
    load_pem_private_key,
)
from jwt.algorithms import RSAAlgorithm

KEY_FILE = "key.pem"
# The one that every client of OpenID Connect knows.
ALGORITHM = "RS256"
BITS = 2048


class SigningKey:
    """An RSA key. Its id is its thumbprint (RFC 7638)."""

    def __init__(self, private: RSAPrivateKey) -> None:
        self._private = private
        found: dict[str, Any] = RSAAlgorithm.to_jwk(private.public_key(), as_dict=True)
        needed = {name: found[name] for name in ("e", "kty", "n")}
        text = json.dumps(needed, sort_keys=True, separators=(",", ":"))
        self.id = base64url(sha256(text.encode()).digest())
        #: As the key set lists it.
        self.public = {**needed, "use": "sig", "alg": ALGORITHM, "kid": self.id}

    @classmethod
    def kept(cls, folder: Path) -> Self:
        """The folder's key; a new one if it has none."""
        file = folder / KEY_FILE
        if not file.exists():
            new = generate_private_key(public_exponent=65537, key_size=BITS)
            form = PrivateFormat.PKCS8, NoEncryption()
            write_private(file, new.private_bytes(Encoding.PEM, *form))
        private = load_pem_private_key(file.read_bytes(), password=None)
        assert isinstance(private, RSAPrivateKey)
        return cls(private)

    def sign(self, claims: dict[str, Any], kind: str) -> str:
        """A token; `kind` is the type that its header names."""
        header = {"typ": kind, "kid": self.id}
        return jwt.encode(claims, self._private, ALGORITHM, header)


def write_private(file: Path, content: bytes) -> None:
    """Write a file that only its owner may read, whole or not at all."""
    new = file.with_suffix(".new")
    new.unlink(missing_ok=True)
    descriptor = os.open(new, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    with open(descriptor, "wb") as out:
        out.write(content)
    new.rename(file)


def base64url(data: bytes) -> str:
    """Base64 without padding, as tokens have it (RFC 7515)."""
    return urlsafe_b64encode(data).decode().rstrip("=")
