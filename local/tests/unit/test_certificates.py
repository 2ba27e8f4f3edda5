"""What `make certs` makes, renews, and leaves alone."""

import ssl
import subprocess
from datetime import timedelta
from pathlib import Path

import pytest
from cryptography import x509

from local import certificates
from local.certificates import ensure
from local.process import ProcessFailed
from local.tls import SERVERS, Tls


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    made = tmp_path / "a folder" / "tls"
    ensure(made, lambda _: None)
    return made


def content(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in folder.iterdir()}


def changed(folder: Path, before: dict[str, bytes]) -> set[str]:
    return {name for name, data in content(folder).items() if before.get(name) != data}


def handshake(client: ssl.SSLContext, server: ssl.SSLContext, name: str) -> None:
    """TLS between two, in memory. Raises what the client finds wrong."""
    ways = ssl.MemoryBIO(), ssl.MemoryBIO()
    ends = [
        client.wrap_bio(ways[0], ways[1], server_hostname=name),
        server.wrap_bio(ways[1], ways[0], server_side=True),
    ]
    for end in ends * 3:
        try:
            end.do_handshake()
        except ssl.SSLWantReadError:
            continue


@pytest.mark.parametrize("server", SERVERS)
def test_each_server_is_verified_by_its_names_and_no_other(
    folder: Path, server: str
) -> None:
    tls = Tls(folder)
    for name in (server, *SERVERS[server], "localhost", "127.0.0.1", "::1"):
        handshake(tls.client(), tls.server(server), name)
    for other in {*SERVERS} - {server}:
        with pytest.raises(ssl.SSLCertVerificationError, match="not valid for"):
            handshake(tls.client(), tls.server(server), other)


def test_keys_are_their_owners_alone(folder: Path, tmp_path: Path) -> None:
    assert folder.stat().st_mode & 0o777 == 0o700
    keys = list(folder.glob("*.key"))
    assert len(keys) == len(SERVERS) + 1
    assert {key.stat().st_mode & 0o777 for key in keys} == {0o600}
    assert not list(folder.glob("*.partial"))
    Tls(folder).place("nginx", tmp_path / "nginx")
    copies = {path.name: path for path in (tmp_path / "nginx").iterdir()}
    assert copies["server.key"].read_bytes() == (folder / "nginx.key").read_bytes()
    assert copies["server.key"].stat().st_mode & 0o777 == 0o600


def test_openssl_finds_no_fault(folder: Path) -> None:
    for server in SERVERS:
        command = ["openssl", "verify", "-x509_strict", "-purpose", "sslserver"]
        command += ["-CAfile", "ca.crt", f"{server}.crt"]
        subprocess.run(command, cwd=folder, check=True, capture_output=True)


def test_a_second_time_changes_nothing(folder: Path) -> None:
    before = content(folder)
    ensure(folder, lambda _: None)
    assert content(folder) == before


@pytest.mark.parametrize("fault", ["gone", "key gone", "near", "other key", "names"])
def test_only_what_needs_it_is_made_again(
    folder: Path, fault: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    path, key = folder / "api.crt", folder / "api.key"
    names: list[str] = []
    if fault == "gone":
        path.unlink()
    elif fault == "key gone":
        key.unlink()
    elif fault == "other key":
        key.write_bytes((folder / "nginx.key").read_bytes())
    elif fault == "names":
        names = ["api.example.org"]
        path, key = folder / "nginx.crt", folder / "nginx.key"
    else:
        path.unlink()
        with monkeypatch.context() as patch:
            patch.setattr(certificates, "SERVER_DAYS", 29)
            ensure(folder, lambda _: None)
    before = content(folder)
    ensure(folder, lambda _: None, names=names)
    assert changed(folder, before) == {path.name, key.name}
    handshake(Tls(folder).client(), Tls(folder).server(path.stem), "localhost")
    if names:
        before = content(folder)
        ensure(folder, lambda _: None)
        assert content(folder) == before, "the name that was asked for is lost"


def test_an_authority_near_its_end_is_renewed_with_all(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(certificates, "NEAR", timedelta(days=5000))
    monkeypatch.setattr(certificates, "CA_DAYS", 6000)
    before = content(folder)
    ensure(folder, lambda _: None)
    assert changed(folder, before) == {*before}
    handshake(Tls(folder).client(), Tls(folder).server("api"), "api")


def own(folder: Path, name: str, *more: str) -> None:
    """An authority of the user's, or a certificate of a public one."""
    command = ["openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-subj"]
    command += [f"/O=Acme/CN={name}", "-keyout", f"{name}.key", "-out", f"{name}.crt"]
    subprocess.run([*command, *more], cwd=folder, check=True, capture_output=True)


def test_the_users_authority_signs_and_stays(folder: Path) -> None:
    own(folder, "ca", "-days", "90")
    before = content(folder)
    ensure(folder, lambda _: None)
    assert not changed(folder, before) & {"ca.crt", "ca.key"}
    handshake(Tls(folder).client(), Tls(folder).server("api"), "api")


@pytest.mark.parametrize("is_asked", [False, True])
def test_the_users_authority_is_replaced_only_if_asked(
    folder: Path, is_asked: bool
) -> None:
    own(folder, "ca", "-days", "3")
    before = content(folder)
    if is_asked:
        ensure(folder, lambda _: None, new_ca=True)
        assert {"ca.crt", "ca.key"} <= changed(folder, before)
        return
    with pytest.raises(ProcessFailed, match="is yours, and ends .*--new-ca"):
        ensure(folder, lambda _: None)
    assert content(folder) == before


def test_a_users_authority_without_its_key_cannot_sign(folder: Path) -> None:
    own(folder, "ca", "-days", "90")
    (folder / "ca.key").unlink()
    before = content(folder)
    with pytest.raises(ProcessFailed, match="Have your authority issue it"):
        ensure(folder, lambda _: None)
    assert content(folder) == before


def test_the_users_certificate_of_a_server_stays(folder: Path) -> None:
    own(folder, "nginx", "-days", "3")
    before, said = content(folder), list[str]()
    ensure(folder, said.append)
    assert content(folder) == before
    assert "nginx.crt is of another authority: it stays" in said[0]


@pytest.mark.parametrize("name", ["ca.crt", "ca.key", "api.crt", "api.key"])
def test_a_damaged_file_is_named(folder: Path, name: str) -> None:
    (folder / name).write_text("x")
    with pytest.raises(ProcessFailed, match=f"{name} is not a "):
        ensure(folder, lambda _: None)


def test_the_authority_signs_no_other_authority(folder: Path) -> None:
    found = x509.load_pem_x509_certificate((folder / "ca.crt").read_bytes())
    limits = found.extensions.get_extension_for_class(x509.BasicConstraints).value
    assert (limits.ca, limits.path_length) == (True, 0)
