"""Processes that die are restarted, but not forever."""

import os
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import pytest

from local.caretaker import Caretaker
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


def test_deaths_far_apart_do_not_add_up(
    own: State, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A stack that runs for days restarts what dies now and then."""
    monkeypatch.setattr("local.supervisor.SOON", 0.0)
    server = Sleeper(own, "raise SystemExit(4)")
    server.launch()
    supervisor = Supervisor([server], lambda _: None)
    watching = threading.Thread(target=supervisor.watch, args=(own.cancelled,))
    watching.start()
    deadline = time.monotonic() + 10
    while server.starts < 5 and watching.is_alive() and time.monotonic() < deadline:
        time.sleep(0.01)
    own.cancelled.set()
    watching.join()
    supervisor.close()
    assert server.starts >= 5


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


def test_a_reload_forgets_the_deaths_before(own: State) -> None:
    """Of the code that is no longer there."""
    server = Sleeper(own, "import time; time.sleep(60)")
    server.start()
    said: list[str] = []
    supervisor = Supervisor([server], said.append, reloaded=[server])
    watching = threading.Thread(target=supervisor.watch, args=(own.cancelled,))
    watching.start()
    for deaths in (1, 2, 3):
        server.kill()
        deadline = time.monotonic() + 10
        while said.count("sleeper is back") < deaths and time.monotonic() < deadline:
            time.sleep(0.01)
        if deaths == 2:
            supervisor.reload([server])
    own.cancelled.set()
    watching.join()
    supervisor.close()
    assert said[-1] == "sleeper is back" and said.count("sleeper is back") == 3


def test_a_server_that_dies_after_a_reload_is_restarted(own: State) -> None:
    server = Sleeper(own, "import time; time.sleep(60)")
    server.start()
    said: list[str] = []
    supervisor = Supervisor([server], said.append, reloaded=[server])
    supervisor.reload([server])
    server.kill()
    supervisor.watch(Once())
    supervisor.close()  # waits for the restart
    assert said[-1] == "sleeper is back" and server.alive
    server.kill()


class Once(threading.Event):
    """Lets `watch` look once."""

    looks = 0

    def wait(self, timeout: float | None = None) -> bool:
        self.looks += 1
        return self.looks > 1


class Watched(Sleeper):
    """Somebody looks at it while it restarts."""

    supervisor: Supervisor

    def restart(self) -> None:
        self.kill()
        self.supervisor.watch(Once())
        self.start()


def test_a_reload_is_no_death(own: State) -> None:
    """Nor is the server started twice."""
    server = Watched(own, "import time; time.sleep(60)")
    server.start()
    said: list[str] = []
    server.supervisor = Supervisor([server], said.append, reloaded=[server])
    server.supervisor.reload([server])
    server.supervisor.close()
    server.kill()
    assert said == ["sleeper runs the changed code"]
    assert server.starts == 2


class Crowded(Sleeper):
    """Tells whether it was restarted twice at once."""

    met = False

    def __init__(self, state: State, code: str) -> None:
        super().__init__(state, code)
        self._both = threading.Barrier(2, timeout=0.5)

    def restart(self) -> None:
        with suppress(threading.BrokenBarrierError):
            self._both.wait()
            self.met = True


def test_two_changes_at_once_restart_one_after_the_other(own: State) -> None:
    """Of code and of settings: two processes would want one port."""
    servers = [Crowded(own, ""), Crowded(own, "")]
    supervisor = Supervisor([*servers], lambda _: None, reloaded=servers)
    reloads = [
        threading.Thread(target=supervisor.reload, args=(servers[:1],)) for _ in "ab"
    ]
    for each in reloads:
        each.start()
    for each in reloads:
        each.join()
    supervisor.close()
    assert not servers[0].met


def test_broken_code_waits_for_the_next_change(own: State) -> None:
    server = Sleeper(own, "print('SyntaxError'); raise SystemExit(1)")
    server.launch()
    said: list[str] = []
    supervisor = Supervisor([server], said.append, reloaded=[server])
    watching = threading.Thread(target=supervisor.watch, args=(own.cancelled,))
    watching.start()
    deadline = time.monotonic() + 40  # three starts of Python, on a busy machine
    while not (said and "waits for" in said[-1]) and time.monotonic() < deadline:
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


def test_what_is_broken_on_purpose_is_left_alone(own: State) -> None:
    broken, other = (
        Sleeper(own, "import time; time.sleep(60)") for _ in ("broken", "other")
    )
    caretaker = Caretaker(lambda: [broken, other])
    caretaker.left_alone.add(broken)
    caretaker.start()
    deadline = time.monotonic() + 10
    while not other.alive and time.monotonic() < deadline:
        time.sleep(0.01)
    caretaker.stop()
    assert (broken.starts, other.starts) == (0, 1)
    other.kill()
