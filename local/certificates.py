"""`certs`: a local authority, and a certificate for each server.

The folder holds `ca.crt`, `ca.key`, and `<server>.crt` and `<server>.key` of each. What
is missing, expired or near its end is made again. Two kinds of files are never
overwritten: an authority that we did not make, unless `--new-ca` asks for that, and a
certificate that neither ours nor the present authority has issued.
"""

import os
import sys
from collections.abc import Callable, Iterable
from datetime import UTC, datetime, timedelta
from ipaddress import ip_address
from pathlib import Path
from typing import Any

from cryptography import x509
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    NoEncryption,
    PrivateFormat,
    load_pem_private_key,
)
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

from local.process import ProcessFailed
from local.tls import FOLDER, HERE, SERVERS

OURS = "make certs"  # the organization in the name of an authority of ours
CA_DAYS, SERVER_DAYS = 3650, 365
NEAR = timedelta(days=30)

Key = ec.EllipticCurvePrivateKey
Say = Callable[[str], None]


def run(arguments: list[str]) -> int:
    """The command: `--new-ca`, and more names for nginx's certificate."""
    names = [word for word in arguments if not word.startswith("-")]
    if unknown := {*arguments} - {*names, "--new-ca"}:
        print(f"unknown: {', '.join(sorted(unknown))}", file=sys.stderr)
        return 2
    ensure(FOLDER, names=names, new_ca="--new-ca" in arguments)
    return 0


def ensure(
    folder: Path = FOLDER,
    say: Say = print,
    *,
    names: Iterable[str] = (),
    new_ca: bool = False,
) -> None:
    """Make what is missing or near its end; nothing if all is well.

    Raises:
        ProcessFailed: the user's own authority does not serve, or a file is damaged.
    """
    folder.mkdir(parents=True, exist_ok=True)
    folder.chmod(0o700)
    authority = _Authority(folder, say, new_ca)
    for name, others in SERVERS.items():
        more = names if name == "nginx" else ()
        authority.certify(name, [name, *others, *HERE, *more])
    say(f"certificates are in {folder}; clients verify them with {folder / 'ca.crt'}")


class _Authority:
    """The authority of a folder, made or renewed if it is ours to make."""

    def __init__(self, folder: Path, say: Say, new_ca: bool) -> None:
        self.folder, self.say = folder, say
        self.key: Key | None = None
        self.path = folder / "ca.crt"
        if self.path.exists() and not new_ca:
            self.certificate = _read(self.path)
            if (folder / "ca.key").exists():
                self.key = _read_key(folder / "ca.key")
            if not _ends_soon(self.certificate):
                return
            if not _is_ours(self.certificate.subject):
                raise ProcessFailed(
                    f"{self.path} is yours, and ends "
                    f"{self.certificate.not_valid_after_utc:%Y-%m-%d}: replace it, or "
                    "let `make certs ARGS=--new-ca` do so"
                )
        self.key = ec.generate_private_key(ec.SECP256R1())
        self.certificate = self._make()
        _write(folder / "ca.key", _pem(self.key))
        _write(self.path, self.certificate.public_bytes(Encoding.PEM), 0o644)
        say(f"made an authority: {self.path}")

    def certify(self, name: str, names: list[str]) -> None:
        """Make the certificate of one server, unless it is good or the user's."""
        path, key_path = self.folder / f"{name}.crt", self.folder / f"{name}.key"
        if path.exists():
            found = _read(path)
            if not (_is_ours(found.issuer) or self._issued(found)):
                self.say(f"{path} is of another authority: it stays as it is")
                return
            if self._is_good(found, names) and _fits(found, key_path):
                return
            names = list(dict.fromkeys([*names, *_names(found)]))
        if self.key is None:
            raise ProcessFailed(
                f"{path} is missing, or lacks a name of {', '.join(names)}, or ends "
                f"soon. Have your authority issue it: {self.folder / 'ca.key'} is "
                "missing, so this command cannot"
            )
        key = ec.generate_private_key(ec.SECP256R1())
        certificate = self._issue(name, names, key)
        _write(key_path, _pem(key))
        _write(path, certificate.public_bytes(Encoding.PEM), 0o644)
        self.say(f"made a certificate for {', '.join(names)}: {path}")

    def _is_good(self, certificate: x509.Certificate, names: list[str]) -> bool:
        return (
            self._issued(certificate)
            and not _ends_soon(certificate)
            and {*names} <= {*_names(certificate)}
        )

    def _issued(self, certificate: x509.Certificate) -> bool:
        try:
            certificate.verify_directly_issued_by(self.certificate)
        except (ValueError, TypeError, InvalidSignature):
            return False
        return True

    def _make(self) -> x509.Certificate:
        assert self.key
        organization = x509.NameAttribute(NameOID.ORGANIZATION_NAME, OURS)
        common = x509.NameAttribute(NameOID.COMMON_NAME, "local authority")
        # A serial number of its own keeps apart two authorities of the same name.
        number = x509.random_serial_number()
        serial = x509.NameAttribute(NameOID.SERIAL_NUMBER, f"{number:x}")
        name = x509.Name([organization, common, serial])
        public = self.key.public_key()
        usage = _usage(key_cert_sign=True, crl_sign=True)
        return (
            _builder(name, name, public, CA_DAYS)
            .add_extension(x509.BasicConstraints(ca=True, path_length=0), True)
            .add_extension(usage, True)
            .add_extension(x509.SubjectKeyIdentifier.from_public_key(public), False)
            .sign(self.key, hashes.SHA256())
        )

    def _issue(self, name: str, names: list[str], key: Key) -> x509.Certificate:
        assert self.key
        subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])
        issuer = self.certificate
        server = x509.ExtendedKeyUsage([ExtendedKeyUsageOID.SERVER_AUTH])
        alternatives = x509.SubjectAlternativeName(list(map(_general, names)))
        return (
            _builder(subject, issuer.subject, key.public_key(), SERVER_DAYS)
            .add_extension(x509.BasicConstraints(ca=False, path_length=None), True)
            .add_extension(_usage(digital_signature=True), True)
            .add_extension(server, False)
            .add_extension(alternatives, False)
            .add_extension(_signed_by(issuer), False)
            .sign(self.key, hashes.SHA256())
        )


def _builder(
    subject: x509.Name, issuer: x509.Name, key: ec.EllipticCurvePublicKey, days: int
) -> x509.CertificateBuilder:
    now = datetime.now(UTC)
    return (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(issuer)
        .public_key(key)
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - timedelta(hours=1))  # clocks differ
        .not_valid_after(now + timedelta(days=days))
    )


def _signed_by(issuer: x509.Certificate) -> x509.AuthorityKeyIdentifier:
    kind = x509.AuthorityKeyIdentifier
    try:
        known = issuer.extensions.get_extension_for_class(x509.SubjectKeyIdentifier)
    except x509.ExtensionNotFound:
        # Its own kind of key, whatever that is.
        key: Any = issuer.public_key()
        return kind.from_issuer_public_key(key)
    return kind.from_issuer_subject_key_identifier(known.value)


def _usage(**given: bool) -> x509.KeyUsage:
    names = "digital_signature content_commitment key_encipherment data_encipherment "
    names += "key_agreement key_cert_sign crl_sign encipher_only decipher_only"
    return x509.KeyUsage(**{**dict.fromkeys(names.split(), False), **given})


def _general(name: str) -> x509.GeneralName:
    try:
        return x509.IPAddress(ip_address(name))
    except ValueError:
        return x509.DNSName(name)


def _names(certificate: x509.Certificate) -> list[str]:
    try:
        found = certificate.extensions.get_extension_for_class(
            x509.SubjectAlternativeName
        ).value
    except x509.ExtensionNotFound:
        return []
    addresses = map(str, found.get_values_for_type(x509.IPAddress))
    return [*found.get_values_for_type(x509.DNSName), *addresses]


def _is_ours(name: x509.Name) -> bool:
    found = name.get_attributes_for_oid(NameOID.ORGANIZATION_NAME)
    return [attribute.value for attribute in found] == [OURS]


def _ends_soon(certificate: x509.Certificate) -> bool:
    return certificate.not_valid_after_utc < datetime.now(UTC) + NEAR


def _fits(certificate: x509.Certificate, key_path: Path) -> bool:
    """Whether the key is the certificate's: a command may have been interrupted."""
    if not key_path.exists():
        return False
    return _read_key(key_path).public_key() == certificate.public_key()


def _read(path: Path) -> x509.Certificate:
    try:
        return x509.load_pem_x509_certificate(path.read_bytes())
    except ValueError as error:
        raise ProcessFailed(f"{path} is not a certificate (PEM)") from error


def _read_key(path: Path) -> Key:
    try:
        key = load_pem_private_key(path.read_bytes(), password=None)
    except (ValueError, TypeError) as error:
        raise ProcessFailed(f"{path} is not a key (PEM) without password") from error
    return key  # type: ignore[return-value]  # of another kind: it signs as well


def _pem(key: Key) -> bytes:
    return key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())


def _write(path: Path, content: bytes, mode: int = 0o600) -> None:
    """Whole or not at all, and never readable by others for a moment."""
    partial = path.with_name(f"{path.name}.partial")
    partial.unlink(missing_ok=True)
    with os.fdopen(os.open(partial, os.O_WRONLY | os.O_CREAT, mode), "wb") as file:
        file.write(content)
    partial.replace(path)
