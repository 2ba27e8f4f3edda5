"""The launcher, as a user meets it: started, killed, stopped."""

import json
import os
import re
import signal
import subprocess
import sys
import time
import urllib.request
from collections.abc import Iterator
from pathlib import Path

import pytest

from local.apps import ROOT, answers
from local.registry import registered
from local.state import end_leftovers, leftovers

MAIN = (
    "import sys, pathlib; from local.run import run\n"
    "sys.exit(run(pathlib.Path(sys.argv[1])))"
)

POOR_MACHINE = (
    "from local import install, stack\n"
    "install.install_missing = lambda say: None\n"
    "stack.find_script = stack.find_nginx = lambda: None\n"
)


class Launcher:
    """`make run` on a folder of the test's own."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.output = folder.with_suffix(".out")

    def start(self, before: str = "") -> None:
        with self.output.open("w") as out:
            self.process = subprocess.Popen(
                [sys.executable, "-c", before + MAIN, str(self.folder)],
                cwd=ROOT,
                stdout=out,
                stderr=subprocess.STDOUT,
            )

    def wait_for(self, pattern: str, timeout: float = 60) -> str:
        deadline = time.monotonic() + timeout
        while not (found := re.search(pattern, self.output.read_text())):
            assert time.monotonic() < deadline, self.output.read_text()
            assert self.process.poll() is None, self.output.read_text()
            time.sleep(0.05)
        return found[1]

    def url(self) -> str:
        return self.wait_for(r"Gateway +(http://[\d.:]+)\n(?s:.*)Ctrl-C stops")

    def end(self, number: signal.Signals) -> int:
        self.process.send_signal(number)
        return self.process.wait(60)

    def named(self, name: str) -> int:
        """The process id of the leader with that name."""
        found = leftovers(self.folder, name)
        return min(found, key=lambda process: process.create_time()).pid


@pytest.fixture
def launcher(tmp_path: Path) -> Iterator[Launcher]:
    launcher = Launcher(tmp_path / "run")
    yield launcher
    if launcher.process.poll() is None:
        launcher.end(signal.SIGKILL)
    end_leftovers(launcher.folder)


def test_killed_processes_restart_until_the_stop(launcher: Launcher) -> None:
    launcher.start()
    assert answers(launcher.url() + "/health/ready")

    second = Launcher(launcher.folder)
    second.output = launcher.folder.with_suffix(".second")
    second.start()
    assert second.process.wait(10) == 1
    assert "already runs" in second.output.read_text()
    assert answers(launcher.url() + "/health/ready")

    launcher.end(signal.SIGKILL)
    launcher.start()
    assert answers(launcher.url() + "/health/ready")

    for name in ("redis", "beat"):
        os.kill(launcher.named(name), signal.SIGKILL)
        launcher.wait_for(rf"({name} is back)")
    os.kill(launcher.named("worker"), signal.SIGSTOP)
    os.kill(launcher.named("api"), signal.SIGKILL)
    assert launcher.end(signal.SIGINT) == 0
    assert leftovers(launcher.folder) == []


def test_stopped_while_starting(launcher: Launcher) -> None:
    launcher.start()
    launcher.wait_for("(starting rabbitmq|starting redis)")
    assert launcher.end(signal.SIGTERM) == 0
    assert leftovers(launcher.folder) == []


def test_a_second_signal_kills_at_once(launcher: Launcher) -> None:
    launcher.start()
    launcher.url()
    launcher.process.send_signal(signal.SIGINT)
    launcher.wait_for("(stopping)")
    assert launcher.end(signal.SIGINT) == 130  # an orderly stop ends with 0
    assert leftovers(launcher.folder) == []


def test_without_rabbitmq_and_nginx(launcher: Launcher) -> None:
    launcher.start(POOR_MACHINE)
    url = launcher.url()
    output = launcher.output.read_text()
    assert "RPC goes over Redis" in output
    assert "nginx is not on this machine" in output
    assert answers(f"{url}/health/ready")
    if "data" in registered():
        assert_calls_go_over_redis(url)
    assert launcher.end(signal.SIGINT) == 0


def assert_calls_go_over_redis(url: str) -> None:
    request = urllib.request.Request(
        url + "/api/v1/data/process",
        data=b'{"payload": "hello", "description": "uppercase"}',
        headers={"Content-Type": "application/json"},
    )
    with urllib.request.urlopen(request, timeout=20) as answer:
        assert json.load(answer)["outcome"]["output"] == "HELLO"
