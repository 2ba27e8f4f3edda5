"""A PostgreSQL with TLS, a private authority, client certificates and a socket.

That of ``make test`` has no TLS, so this one is the system's.
"""

import os
import pwd
import shutil
import socket
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import quote

import psycopg2
import pytest
from pydantic import SecretStr
from sqlalchemy import text

from app.core.database import Database, create_sync_engine, translate_errors
from app.core.database_settings import DatabaseSettings
from app.core.exceptions import DatabaseUnavailable
from local.ports import free_port
from tests.integration.responder import wait_until

BACKEND = Path(__file__).parents[2]
BINARIES = sorted(Path("/usr/lib/postgresql").glob("*/bin/initdb"))

pytestmark = pytest.mark.skipif(
    not BINARIES or shutil.which("openssl") is None,
    reason="postgresql or openssl is not installed",
)

# The CA, a certificate of the server and one of the user `robot`.
CERTIFICATES = """
req -x509 -newkey rsa:2048 -nodes -days 2 -subj /CN=ca -keyout ca.key -out ca.crt
req -newkey rsa:2048 -nodes -subj /CN=server -addext subjectAltName=DNS:localhost \
 -keyout server.key -out server.csr
x509 -req -in server.csr -CA ca.crt -CAkey ca.key -days 2 -copy_extensions copy \
 -out server.crt
req -newkey rsa:2048 -nodes -subj /CN=robot -keyout robot.key -out robot.csr
x509 -req -in robot.csr -CA ca.crt -CAkey ca.key -days 2 -out robot.crt
req -x509 -newkey rsa:2048 -nodes -days 2 -subj /CN=other -keyout x.key -out other.crt
"""

ACCESS = """
local   all all trust
hostssl all robot all cert
host    all all all scram-sha-256
"""

PASSWORD = "p@ss %/:?#w"


@dataclass
class TlsServer:
    """A running server."""

    folder: Path
    port: int

    def url(self, query: str, host: str = "localhost", user: str = "owner") -> str:
        """A URL with the files of the certificates."""
        query = query.format(folder=self.folder)
        password = f":{quote(PASSWORD, safe='')}" if user == "owner" else ""
        return f"postgres://{user}{password}@{host}:{self.port}/postgres?{query}"


@pytest.fixture(scope="module")
def server() -> Iterator[TlsServer]:
    user = "nobody" if os.geteuid() == 0 else None
    with tempfile.TemporaryDirectory() as name:
        folder, data = Path(name), Path(name) / "data"
        (folder / "password").write_text(PASSWORD)
        for line in CERTIFICATES.strip().replace("\\\n", "").splitlines():
            command = ["openssl", *line.split()]
            subprocess.run(command, cwd=folder, check=True, capture_output=True)
        if user:
            for path in (folder, folder / "server.key", folder / "password"):
                os.chown(path, pwd.getpwnam(user).pw_uid, -1)
            folder.chmod(0o755)
        program = BINARIES[-1]
        command = [str(program), "-D", str(data), "-U", "owner", "--no-sync"]
        command += ["--pwfile", str(folder / "password")]
        subprocess.run(command, check=True, capture_output=True, user=user)
        (data / "pg_hba.conf").write_text(ACCESS)
        port = free_port()
        options = {
            "port": port,
            "listen_addresses": "127.0.0.1,::1",
            "unix_socket_directories": folder,
            "fsync": "off",
            "ssl": "on",
            "ssl_cert_file": folder / "server.crt",
            "ssl_key_file": folder / "server.key",
            "ssl_ca_file": folder / "ca.crt",
        }
        command = [str(program.with_name("postgres")), "-D", str(data)]
        command += [f"--{word}={value}" for word, value in options.items()]
        with (folder / "log").open("wb") as log:
            process = subprocess.Popen(command, user=user, stderr=log, cwd="/")
        try:
            wait_until(lambda: _create_robot(folder, port), 20)
            yield TlsServer(folder, port)
        finally:
            process.kill()
            process.wait()


def _create_robot(folder: Path, port: int) -> bool:
    try:
        connection = psycopg2.connect(
            host=str(folder), port=port, user="owner", dbname="postgres"
        )
    except psycopg2.OperationalError:
        return False
    with connection, connection.cursor() as cursor:
        cursor.execute("CREATE ROLE robot LOGIN")
    return True


QUERY = text(
    "SELECT coalesce(client_dn, ''), ssl FROM pg_stat_ssl "
    "WHERE pid = pg_backend_pid()"
)


async def seen(url: str) -> list[tuple[str, bool]]:
    """What the server sees of each driver: subject of the certificate, and TLS."""
    settings = DatabaseSettings(database_url=SecretStr(url))
    database, engine = Database(settings), create_sync_engine(settings)
    try:
        with translate_errors():
            async with database.engine.connect() as connection:
                found = [tuple((await connection.execute(QUERY)).one())]
            with engine.connect() as sync:
                found.append(tuple(sync.execute(QUERY).one()))
    finally:
        await database.close()
        engine.dispose()
    return found


@pytest.mark.parametrize(
    ("query", "is_encrypted"),
    [
        ("", True),
        ("sslmode=disable", False),
        ("sslmode=allow", False),
        ("sslmode=prefer", True),
        ("sslmode=require", True),
        ("ssl=true", True),
        ("sslmode=verify-ca&sslrootcert={folder}/ca.crt", True),
        ("sslmode=verify-full&sslrootcert={folder}/ca.crt", True),
        (
            "sslmode=require&channel_binding=prefer&ssl_min_protocol_version=TLSv1.3",
            True,
        ),
        (
            "sslmode=require&options=-csearch_path%3Dx&application_name=a&keepalives=1",
            True,
        ),
    ],
)
async def test_every_mode(server: TlsServer, query: str, is_encrypted: bool) -> None:
    assert await seen(server.url(query)) == [("", is_encrypted)] * 2


async def test_a_client_certificate_is_the_login(server: TlsServer) -> None:
    query = (
        "sslmode=verify-full&sslrootcert={folder}/ca.crt"
        "&sslcert={folder}/robot.crt&sslkey={folder}/robot.key"
    )
    assert await seen(server.url(query, user="robot")) == [("/CN=robot", True)] * 2


def test_migrations_understand_the_password(server: TlsServer) -> None:
    for words in ("upgrade head", "upgrade head --sql"):
        run = subprocess.run(
            [sys.executable, "-m", "alembic", *words.split()],
            cwd=BACKEND,
            env={**os.environ, "DATABASE_URL": server.url("sslmode=require")},
            capture_output=True,
            text=True,
        )
        assert run.returncode == 0, run.stderr


@pytest.mark.parametrize("host", ["socket", "[::1]", "localhost:1,localhost"])
async def test_other_places(server: TlsServer, host: str) -> None:
    if host == "socket":
        found = await seen(server.url("host={folder}"))
        assert found == [("", False)] * 2
    elif host == "[::1]" and not _has_ipv6():
        pytest.skip("this machine has no IPv6")
    else:
        assert await seen(server.url("", host)) == [("", True)] * 2


def _has_ipv6() -> bool:
    try:
        socket.create_server(("::1", 0), family=socket.AF_INET6).close()
    except OSError:
        return False
    return True


@pytest.mark.parametrize(
    ("query", "host"),
    [
        ("sslmode=verify-ca&sslrootcert={folder}/other.crt", "localhost"),
        ("sslmode=verify-full&sslrootcert={folder}/ca.crt", "127.0.0.1"),
        ("sslmode=verify-full&sslrootcert=system", "localhost"),
    ],
    ids=["authority", "name", "public"],
)
async def test_a_server_that_cannot_be_verified(
    server: TlsServer, query: str, host: str
) -> None:
    settings = DatabaseSettings(database_url=SecretStr(server.url(query, host)))
    database, engine = Database(settings), create_sync_engine(settings)
    with pytest.raises(DatabaseUnavailable):
        await database.check()
    with pytest.raises(DatabaseUnavailable), translate_errors():
        engine.connect()
