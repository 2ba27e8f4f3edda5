"""What `make up` says where Docker is missing, silent or not allowed."""

import os
import shutil
import socket
import subprocess
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from local.apps import ROOT
from local.tests.troubleshooting import explanation

SCRIPT = ROOT / "deploy/compose/require-docker.sh"

needs_docker = pytest.mark.skipif(
    not (shutil.which("docker") and shutil.which("docker-compose")),
    reason="no docker, or no docker-compose",
)


@pytest.fixture
def folder() -> Iterator[Path]:
    """A short path, as sockets need, that every user may enter."""
    with tempfile.TemporaryDirectory() as name:
        Path(name).chmod(0o755)
        yield Path(name)


def said(
    *before: str,
    path: str = os.environ["PATH"],
    compose: str = "docker-compose",
    **env: str,
) -> str:
    """What the script says when it refuses."""
    result = subprocess.run(
        [*before, "/bin/sh", "-c", SCRIPT.read_text(), "sh", *compose.split()],
        env={"PATH": path, "HOME": "/", **env},
        capture_output=True,
        text=True,
    )
    assert result.returncode == 1 and result.stdout == ""
    return result.stderr


def test_no_docker(folder: Path) -> None:
    assert "make run" in explanation(said(path=str(folder)))


@needs_docker
def test_no_compose() -> None:
    text = said(compose="docker-compose-that-is-missing")
    assert "docker-compose-plugin" in explanation(text)


@needs_docker
def test_a_daemon_that_does_not_run(folder: Path) -> None:
    text = said(DOCKER_HOST=f"unix://{folder}/docker.sock")
    assert "systemctl start docker" in explanation(text)


@needs_docker
def test_a_socket_of_others(folder: Path) -> None:
    path = folder / "docker.sock"
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(str(path))
        path.chmod(0)
        listener.listen()
        # As root, too, a namespace takes away the right to open everything.
        namespace = ["unshare", "--user", "--map-user=65534"]
        if os.geteuid():
            namespace = []
        text = said(*namespace, DOCKER_HOST=f"unix://{path}")
    assert "usermod -aG docker" in explanation(text)


@pytest.mark.parametrize("target", ["up", "ps", "logs", "scale", "up-dev", "psql"])
def test_make_asks_first(target: str, folder: Path) -> None:
    make = shutil.which("make")
    if make is None:
        pytest.skip("no make")
    for name in ("sh", "dirname"):
        (folder / name).symlink_to(shutil.which(name) or "")
    result = subprocess.run(
        [make, target],
        cwd=ROOT,
        env={"PATH": str(folder)},
        capture_output=True,
        text=True,
    )
    assert "Docker is not on this machine" in result.stderr


@pytest.mark.skipif(not shutil.which("sh"), reason="no shell")
def test_containers_can_read_a_clone_under_umask_077(folder: Path) -> None:
    """They have other users. Names that begin with a dot stay private."""
    (folder / "docker").write_text("#!/bin/sh\n")
    (folder / "docker").chmod(0o755)
    mounted = ["nginx_config.conf", "observability/a.yaml", "backend/app/main.py"]
    private = ["backend/.env", "backend/.venv/a.py", ".env"]
    for name in [*mounted, *private]:
        (folder / name).parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        (folder / name).touch(mode=0o600)
    path = f"{folder}:{os.environ['PATH']}"
    command = ["sh", str(SCRIPT), "docker", "compose"]
    subprocess.run(command, cwd=folder, env={"PATH": path}, check=True)
    for name in mounted:
        assert (folder / name).stat().st_mode & 0o044 == 0o044, name
    assert (folder / "backend/app").stat().st_mode & 0o055 == 0o055
    for name in private:
        assert not (folder / name).stat().st_mode & 0o077, name
