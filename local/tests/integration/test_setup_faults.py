"""Faults of a machine that prevent the installation, each made for real."""

import os
import shlex
import shutil
import signal
import ssl
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path

import pytest

from local.apps import ROOT
from local.tests.troubleshooting import explanation

UNREACHABLE = "http://127.0.0.1:9/simple"  # nothing listens on the port "discard"
NAMESPACE = ["unshare", "--user", "--map-root-user", "--mount", "sh", "-c"]
needs_namespaces = pytest.mark.skipif(
    not shutil.which("unshare")
    or subprocess.run(
        [*NAMESPACE, "mount -t tmpfs none /mnt"], capture_output=True
    ).returncode
    != 0,
    reason="user namespaces with mounts are not allowed here",
)


class Project:
    """The launcher in a separate folder, with requirements that the test chooses."""

    def __init__(self, root: Path, requirements: str = "") -> None:
        self.root = root
        shutil.copytree(
            ROOT / "local", root / "local", ignore=shutil.ignore_patterns("tests")
        )
        (root / "backend").mkdir()
        (root / "backend/requirements.txt").write_text("")
        self.require(requirements)

    def require(self, requirements: str) -> None:
        (self.root / "local/requirements.txt").write_text(requirements)

    def start(
        self, *before: str, python: str = sys.executable, **env: str
    ) -> subprocess.Popen[str]:
        own = {k: v for k, v in os.environ.items() if not k.startswith("PIP_")}
        own |= {"PIP_CONFIG_FILE": os.devnull, "PIP_RETRIES": "0"}
        words = [python, "-m", "local", "setup"]
        command = [*before, shlex.join(words)] if before else words
        return subprocess.Popen(
            command,
            cwd=self.root,
            env={**own, "PIP_INDEX_URL": UNREACHABLE, **env},
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            start_new_session=True,
        )

    def setup(self, *before: str, python: str = sys.executable, **env: str) -> str:
        """Run `setup`; returns its output."""
        said = self.start(*before, python=python, **env).communicate(timeout=90)[0]
        return said


AUTHORITY = """\
[ca]
default_ca = own
[own]
database = index.txt
serial = serial
new_certs_dir = .
default_md = sha256
policy = any
x509_extensions = names
[any]
commonName = supplied
[names]
subjectAltName = DNS:localhost
basicConstraints = CA:true
"""
PIN = f"amqp==5.4.2 --hash=sha256:{'0' * 64}\n"


@pytest.fixture
def project(tmp_path: Path) -> Project:
    return Project(tmp_path / "project")


class Installed(Project):
    """One with a complete `.venv` that has no packages, made at the second attempt."""

    def __init__(self, root: Path) -> None:
        super().__init__(root)
        self._kill_half_way()
        self.said = self.setup()

    def _kill_half_way(self) -> None:
        process = self.start()
        libraries = self.root / ".venv/lib"
        deadline = time.monotonic() + 60
        while not list(libraries.glob("*/site-packages/pip")):
            assert time.monotonic() < deadline and process.poll() is None
            time.sleep(0.01)
        os.killpg(process.pid, signal.SIGKILL)  # as a closing terminal does
        process.communicate()


@pytest.fixture(scope="module")
def installed(tmp_path_factory: pytest.TempPathFactory) -> Installed:
    return Installed(tmp_path_factory.mktemp("installed") / "project")


def test_a_killed_installation_is_done_again(installed: Installed) -> None:
    assert "half made" in installed.said and "Installed in" in installed.said


@needs_namespaces
def test_a_read_only_folder(project: Project) -> None:
    mount = "mount --bind . . && mount -o remount,bind,ro . && cd ../project && "
    said = project.setup(*NAMESPACE, mount + 'eval "$0"')
    assert "copy it elsewhere" in explanation(said)


@needs_namespaces
def test_a_folder_of_another_user(project: Project) -> None:
    project.root.chmod(0o555)
    # A namespace takes away the right to write everywhere, even from root.
    said = project.setup(
        "unshare", "--user", "--map-user=65534", "sh", "-c", 'eval "$0"'
    )
    project.root.chmod(0o755)
    assert "chown" in explanation(said)


@needs_namespaces
def test_a_full_disk(project: Project) -> None:
    (project.root / ".venv").mkdir()
    mount = "mount -t tmpfs -o size=2m none .venv && "
    said = project.setup(*NAMESPACE, mount + 'eval "$0"')
    assert "df -h" in explanation(said)


def test_no_network(installed: Installed) -> None:
    installed.require(PIN)
    assert "HTTPS_PROXY" in explanation(installed.setup())


def test_a_proxy_that_does_not_answer(installed: Installed) -> None:
    installed.require(PIN)
    said = installed.setup(
        PIP_INDEX_URL="http://index.invalid/simple", HTTP_PROXY="http://127.0.0.1:9"
    )
    assert "HTTPS_PROXY" in explanation(said)


@pytest.fixture
def index_of_tomorrow(tmp_path: Path) -> Iterator[tuple[str, Path]]:
    """An index whose certificate is valid from 2090 on, and the certificate."""
    if shutil.which("openssl") is None:
        pytest.skip("no openssl")
    (tmp_path / "index.txt").touch()
    (tmp_path / "ca.cnf").write_text(AUTHORITY)
    for command in (
        "req -newkey rsa:2048 -nodes -keyout key.pem -out csr.pem -subj /CN=localhost",
        "ca -batch -config ca.cnf -selfsign -keyfile key.pem -in csr.pem -out cert.pem "
        "-notext -create_serial -startdate 20900101000000Z -enddate 20910101000000Z",
    ):
        subprocess.run(
            ["openssl", *command.split()], cwd=tmp_path, check=True, capture_output=True
        )
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(tmp_path / "cert.pem", tmp_path / "key.pem")
    server = HTTPServer(("127.0.0.1", 0), BaseHTTPRequestHandler)
    server.socket = context.wrap_socket(server.socket, server_side=True)
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    yield f"https://localhost:{server.server_port}/simple", tmp_path / "cert.pem"
    server.shutdown()
    thread.join()
    server.server_close()


@pytest.mark.parametrize(
    ("is_trusted", "told"), [(True, "timedatectl"), (False, "PIP_CERT")]
)
def test_a_wrong_clock_and_an_unknown_certificate(
    installed: Installed,
    index_of_tomorrow: tuple[str, Path],
    is_trusted: bool,
    told: str,
) -> None:
    url, certificate = index_of_tomorrow
    installed.require(PIN)
    trust = {"PIP_CERT": str(certificate)} if is_trusted else {}
    assert told in explanation(installed.setup(PIP_INDEX_URL=url, **trust))


def test_a_venv_that_lacks_a_package(installed: Installed) -> None:
    installed.require("")
    said = installed.setup()
    assert "`.venv` is incomplete: No module named" in said
    assert "rm -rf .venv" in explanation(said)


def test_a_moved_folder(installed: Installed, tmp_path: Path) -> None:
    moved = tmp_path / "moved"
    shutil.copytree(installed.root, moved, symlinks=True)
    there = Project.__new__(Project)
    there.root = moved
    said = there.setup(python=str(moved / ".venv/bin/python"))
    assert "python3 -m local setup" in explanation(said)
