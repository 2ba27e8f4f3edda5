"""docs/TUTORIAL.md as a reader follows it: every command, every output, every file."""

import os
import re
import signal
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
import yaml

from kit.tests.copies import IDENTITY, copy_project
from kit.tests.e2e.runs import ENVIRONMENT
from kit.tests.e2e.tutorial import (
    PAGE,
    Code,
    Command,
    minutes_to_read,
    steps,
)
from kit.tests.e2e.upgrades import publish
from kit.tests.team import in_the_kit
from tests.compose.containers import Compose, docker_answers
from tests.e2e.client import wait_for
from tests.tour.pages import ID, SHOWN_URL

MOST = 40  # minutes, for reading and for the commands

STARTS = "make dev"  # keeps running in the second terminal
ASKS = ("curl ", "make traces")
READY = "Ctrl-C stops everything."
CONTAINERS = "7. Containers"


@pytest.fixture
def reader(tmp_path: Path) -> Iterator["Reader"]:
    """A reader with a folder, and the address of the kit."""
    upstream = tmp_path / "upstream"
    upstream.mkdir()
    publish(copy_project(upstream))
    reader = Reader(tmp_path, {"ADDRESS": str(upstream)})
    try:
        yield reader
    finally:
        reader.stop()


@pytest.mark.kit
@pytest.mark.timeout(3600)
@in_the_kit
def test_the_tutorial(reader: "Reader") -> None:
    page = PAGE.read_text()
    for step in steps(page):
        if step.section == CONTAINERS:
            reader.frees_the_ports()
        if isinstance(step, Code):
            step.apply(reader.folder)
        elif step.line.startswith(STARTS):
            reader.start(step)
        elif step.section != CONTAINERS or docker_answers():
            reader.runs(step)
    assert_containers(reader.folder)
    minutes = minutes_to_read(page) + reader.seconds / 60
    print(f"{minutes:.0f} minutes, {reader.seconds / 60:.0f} of them for commands")
    assert minutes <= MOST


class Reader:
    """Has two terminals, and a clock that runs during commands."""

    def __init__(self, folder: Path, words: dict[str, str]) -> None:
        self.folder = folder
        self.seconds = 0.0
        self._log = folder / "second-terminal.log"
        self._words = words  # words of the page, with their replacements here
        self._running: subprocess.Popen[bytes] | None = None
        self._environment = ENVIRONMENT | IDENTITY
        self._has_containers = False

    def runs(self, command: Command) -> None:
        """Run it until it prints what the page shows. Only requests to the running
        system are repeated, because it reloads a moment after a file is saved."""
        began = time.monotonic()
        line = self._translate(command.line)
        if line.startswith("cd "):
            self.folder /= line.removeprefix("cd ")
            return
        within = 90.0 if line.startswith(ASKS) else 0.0
        while True:
            output = self._output(line)
            if command.matches(output):
                break
            assert time.monotonic() - began < within, f"$ {line}\n{output}"
            time.sleep(0.3)
        self._words |= zip(ID.findall(command.output or ""), ID.findall(output))
        self.seconds += time.monotonic() - began
        print(f"{time.monotonic() - began:5.0f} s  {line[:70]}", flush=True)

    def start(self, command: Command) -> None:
        """Start it in the second terminal, and wait until it is ready."""
        began = time.monotonic()
        with self._log.open("wb") as log:
            self._running = subprocess.Popen(
                ["bash", "-c", f"exec {command.line}"],
                cwd=self.folder,
                env=ENVIRONMENT,
                stdout=log,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )
        self._words[SHOWN_URL] = wait_for(self._address, READY, 180)
        self.seconds += time.monotonic() - began

    def frees_the_ports(self) -> None:
        """Press Ctrl-C in the second terminal. Other processes of this machine may
        still use the standard ports, and other containers the kit's name."""
        self._interrupt()
        containers = Compose()
        self._environment |= containers.env
        self._words[SHOWN_URL] = containers.url
        self._has_containers = docker_answers()

    def stop(self) -> None:
        """Leave nothing behind, and touch no other containers."""
        self._interrupt()
        if self._has_containers:
            self._output("make down ARGS=-v")

    def _interrupt(self) -> None:
        if self._running and self._running.poll() is None:
            os.killpg(self._running.pid, signal.SIGINT)
            self._running.wait(120)

    def _address(self) -> str | None:
        assert self._running is not None
        said = self._log.read_text()
        assert self._running.poll() is None, said
        found = re.search(r"(http://[\d.:]+)/api/v1/docs", said)
        return found[1] if found and READY in said else None

    def _output(self, line: str) -> str:
        result = subprocess.run(
            ["bash", "-c", line],
            cwd=self.folder,
            env=self._environment,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )
        assert result.returncode == 0, f"$ {line}\n{result.stdout}"
        return result.stdout

    def _translate(self, text: str) -> str:
        for word, here in self._words.items():
            text = text.replace(word, here)
        return text


def assert_containers(project: Path) -> None:
    """Check what step 7 needs where Docker cannot run it: an image of the new service,
    the migrations, a gateway at the page's address."""
    services = yaml.safe_load((project / "docker-compose.yml").read_text())["services"]
    own = services["acme-orders-pricing-service"]
    assert (project / own["build"]["dockerfile"]).is_file()
    assert any("alembic" in each.get("command", "") for each in services.values())
    assert any("GATEWAY_PORT:-8081" in str(each) for each in services.values())
