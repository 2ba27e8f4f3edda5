"""The reloader of docker-compose.dev.yml."""

import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.e2e.client import wait_for

RELOAD = Path(__file__).parents[2] / "deploy" / "compose" / "reload.py"
PROGRAM = """
import pathlib, signal, sys
with open("log", "a") as log:
    log.write("{word}\\n")
signal.sigwait([signal.SIGTERM])
"""


@pytest.fixture
def library(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder that the program imports from."""
    return tmp_path_factory.mktemp("library")


@pytest.fixture
def reloader(tmp_path: Path, library: Path) -> Iterator[subprocess.Popen[bytes]]:
    write(tmp_path, "first", 1)
    command = [sys.executable, str(RELOAD), sys.executable, "program.py"]
    env = {**os.environ, "PYTHONPATH": str(library)}
    process = subprocess.Popen(command, cwd=tmp_path, env=env)
    yield process
    process.kill()
    process.wait()


def write(folder: Path, word: str, time: int) -> None:
    program = folder / "program.py"
    program.write_text(PROGRAM.replace("{word}", word))
    os.utime(program, (time, time))


def log(folder: Path) -> list[str]:
    file = folder / "log"
    return file.read_text().split() if file.exists() else []


def test_a_change_runs_the_program_again(
    reloader: subprocess.Popen[bytes], tmp_path: Path, library: Path
) -> None:
    wait_for(lambda: log(tmp_path) == ["first"], "the first run")
    write(tmp_path, "second", 2)
    wait_for(lambda: log(tmp_path) == ["first", "second"], "the second run")
    write(library, "not run", 3)
    wait_for(lambda: log(tmp_path) == ["first", "second", "second"], "the third run")

    reloader.send_signal(signal.SIGTERM)
    assert reloader.wait(10) == 0
