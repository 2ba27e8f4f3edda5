"""Processes that die are restarted, but not forever."""

import os
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from local.servers.base import Command, Server
from local.state import State
from local.supervisor import GaveUp, Supervisor


class Sleeper(Server):
    """Runs the given Python code."""

    name = "sleeper"

    def __init__(self, state: State, code: str) -> None:
        super().__init__(state, 0)
        self.code = code
        self.starts = 0

    def command(self) -> Command:
        self.starts += 1
        return Command([sys.executable, "-c", self.code], self.folder, dict(os.environ))

    def ready(self) -> bool:
        return self.alive


@pytest.fixture
def own(tmp_path: Path) -> Iterator[State]:
    state = State(tmp_path / "state")
    state.acquire()
    yield state
    state.release(remove=True)


def test_a_killed_server_is_restarted(own: State) -> None:
    server = Sleeper(own, "import time; time.sleep(60)")
    server.start()
    said: list[str] = []
    supervisor = Supervisor([server], said.append)
    watching = threading.Thread(target=supervisor.watch, args=(own.cancelled,))
    watching.start()
    server.kill()
    deadline = time.monotonic() + 10
    while said[-1:] != ["sleeper is back"] and time.monotonic() < deadline:
        time.sleep(0.01)
    own.cancelled.set()
    watching.join()
    supervisor.close()
    assert said == [
        "sleeper died (exit code -9); restarting it",
        "sleeper is back",
    ]
    assert server.alive


def test_a_server_that_keeps_dying_is_given_up(own: State) -> None:
    server = Sleeper(own, "print('no configuration'); raise SystemExit(4)")
    server.launch()
    supervisor = Supervisor([server], lambda _: None)
    with pytest.raises(GaveUp, match="(?s)3 times.*no configuration"):
        supervisor.watch(own.cancelled)
    supervisor.close()
    assert server.starts == 3


def test_changed_code_runs_after_a_reload(own: State) -> None:
    server = Sleeper(own, "import time; time.sleep(60)")
    server.start()
    before = server.pid
    said: list[str] = []
    supervisor = Supervisor([server], said.append, reloaded=[server])
    supervisor.reload([server])
    assert said == ["sleeper runs the changed code"]
    assert server.alive and server.pid != before
    server.kill()
    supervisor.close()


def test_broken_code_waits_for_the_next_change(own: State) -> None:
    server = Sleeper(own, "print('SyntaxError'); raise SystemExit(1)")
    server.launch()
    said: list[str] = []
    supervisor = Supervisor([server], said.append, reloaded=[server])
    watching = threading.Thread(target=supervisor.watch, args=(own.cancelled,))
    watching.start()
    deadline = time.monotonic() + 10
    while not (said and "waits" in said[-1]) and time.monotonic() < deadline:
        time.sleep(0.01)
    assert "SyntaxError" in said[-1] and "waits for the next change" in said[-1]
    server.code = "import time; time.sleep(60)"
    supervisor.reload([server])
    assert said[-1] == "sleeper runs the changed code"
    assert server.alive and watching.is_alive()
    own.cancelled.set()
    watching.join()
    server.kill()
    supervisor.close()
