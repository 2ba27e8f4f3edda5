"""Remaining children are found, and no other processes."""

import fcntl
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import psutil
import pytest

from local.process import Cancelled, Child, ProcessFailed
from local.state import AlreadyRunning, State, end_leftovers, leftovers, wait_gone

PATH = {"PATH": os.environ["PATH"]}
SLEEP = [sys.executable, "-c", "import time; time.sleep(60)"]
# Leaves its session, as daemons do, then reports it.
DAEMON = [
    sys.executable,
    "-c",
    "import os, time\nif os.fork() == 0:\n"
    "    os.setsid(); print('away', flush=True); time.sleep(60)\nos._exit(0)",
]


@pytest.fixture
def own(tmp_path: Path) -> Iterator[State]:
    state = State(tmp_path / "a state")
    state.acquire()
    yield state
    state.release(remove=True)


def start(own: State, argv: list[str], name: str = "child") -> Child:
    child = Child(name, own)
    child.start(argv, cwd=own.path, env=PATH)
    return child


def test_leftovers_are_only_ours(own: State, tmp_path: Path) -> None:
    child = start(own, SLEEP)
    other = State(tmp_path / "other")
    other.acquire()
    stranger = subprocess.Popen(SLEEP, cwd=own.path)
    try:
        assert [process.pid for process in leftovers(own.path)] == [child.pid]
        assert leftovers(own.path, "another name") == []
        assert end_leftovers(other.path) == 0
        assert end_leftovers(own.path) == 1
        assert not child.alive
        assert stranger.poll() is None
    finally:
        stranger.kill()
        stranger.wait()


def test_a_server_without_our_mark_is_ours_by_its_folder(
    own: State, tmp_path: Path
) -> None:
    program = tmp_path / "redis-server"
    program.symlink_to(sys.executable)
    command = [str(program), "-c", "print(flush=True); import time; time.sleep(60)"]
    servers = [
        subprocess.Popen(command, cwd=folder, env={}, stdout=subprocess.PIPE)
        for folder in (own.path, tmp_path)
    ]
    try:
        for server in servers:
            assert server.stdout and server.stdout.readline()
        assert [process.pid for process in leftovers(own.path)] == [servers[0].pid]
    finally:
        for server in servers:
            server.kill()
            server.communicate()


def test_a_daemon_is_a_leftover(own: State) -> None:
    child = start(own, DAEMON)
    deadline = time.monotonic() + 10
    while child.alive or "away" not in child.tail():
        assert time.monotonic() < deadline
        time.sleep(0.01)
    assert end_leftovers(own.path) == 1


def test_stop_ends_a_paused_child_in_order(own: State) -> None:
    code = "import signal, sys\nsignal.signal(15, lambda *_: sys.exit(7))\n"
    child = start(
        own, [sys.executable, "-c", f"{code}print(1, flush=True)\nsignal.pause()"]
    )
    child.wait_until(lambda: "1" in child.tail(), 10, "print")
    child.pause()
    process = psutil.Process(child.pid)
    child.wait_until(lambda: process.status() == psutil.STATUS_STOPPED, 10, "pause")
    child.stop(timeout=10)
    assert child.returncode == 7


def test_stop_kills_a_process_that_ignores_the_signal(own: State) -> None:
    code = "import signal\nsignal.signal(15, signal.SIG_IGN)\nprint(1, flush=True)\n"
    child = start(own, [sys.executable, "-c", f"{code}while True: signal.pause()"])
    child.wait_until(lambda: "1" in child.tail(), 10, "print")
    child.stop(timeout=0.2)
    assert child.returncode == -signal.SIGKILL


def test_stop_also_ends_helpers_that_ignore_the_signal(own: State) -> None:
    """Those without a sign of the state in their environment too."""
    deaf = "import signal, time; signal.signal(15, signal.SIG_IGN); print(1); "
    deaf += "time.sleep(60)"
    code = f"""
import subprocess, sys, time
helper = subprocess.Popen(
    [sys.executable, "-uc", {deaf!r}], env={{}}, stdout=subprocess.PIPE
)
helper.stdout.readline()
print("helper", helper.pid, flush=True)
time.sleep(60)
"""
    child = start(own, [sys.executable, "-c", code])
    child.wait_until(lambda: "helper" in child.tail(), 10, "print")
    helper = psutil.Process(int(child.tail().split()[-1]))
    child.stop(timeout=10)
    assert not wait_gone([helper], timeout=0)


@pytest.mark.skipif(os.geteuid() != 0, reason="only root may become another user")
def test_another_user_has_none_of_our_groups(own: State) -> None:
    child, ours = Child("child", own), os.getgroups()
    os.setgroups([1])
    try:
        child.start(["id", "-G"], cwd=own.path, env=PATH, uid=65534)
    finally:
        os.setgroups(ours)
    assert child.wait() == 0
    assert child.tail().split() == ["65534"]


def test_a_kill_reaches_those_in_groups_of_their_own(own: State) -> None:
    """As those of PostgreSQL are."""
    code = f"import subprocess; subprocess.Popen({SLEEP!r}, start_new_session=True)\n"
    code += "print(1, flush=True)\nimport time; time.sleep(60)"
    child = start(own, [sys.executable, "-c", code])
    child.wait_until(lambda: "1" in child.tail(), 10, "print")
    child.kill()
    assert leftovers(own.path) == []


def test_a_failed_wait_explains_itself(own: State) -> None:
    child = start(own, [sys.executable, "-c", "print('such a pity'); exit(3)"])
    with pytest.raises(ProcessFailed, match="(?s)ended with code 3.*such a pity"):
        child.wait_until(lambda: False, 10, "be")
    child = start(own, SLEEP)
    with pytest.raises(ProcessFailed, match="did not be within 0 s"):
        child.wait_until(lambda: False, 0.1, "be")
    own.cancelled.set()
    with pytest.raises(Cancelled):
        child.wait_until(lambda: False, 10, "be")


def test_an_end_is_told_by_what_was_logged_since_the_start(own: State) -> None:
    child = start(own, [sys.executable, "-c", "print('earlier')"])
    child.wait()
    child.start([sys.executable, "-c", "print('later')"], cwd=own.path, env=PATH)
    child.wait()
    assert child.log.read_text() == "earlier\nlater\n"
    assert child.tail() == "  later\n"


def test_a_folder_has_one_holder(own: State) -> None:
    child = start(own, SLEEP)
    with pytest.raises(AlreadyRunning):
        State(own.path).acquire()
    assert child.alive  # it is not a leftover
    own.release()
    again = State(own.path)
    again.acquire()
    again.release()


def test_a_folder_is_held_until_its_processes_have_ended(
    own: State, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The next holder would end them, or meet their ports and files."""
    held: list[bool] = []

    def ends(path: Path) -> int:
        held.append(State(path).is_held)
        return 0

    monkeypatch.setattr("local.state.end_leftovers", ends)
    own.release()
    assert held == [True] and not own.is_held


def test_the_next_holder_ends_what_the_last_one_left(own: State) -> None:
    """Such as daemons of a launcher that was killed."""
    child = start(own, DAEMON)
    deadline = time.monotonic() + 10
    while "away" not in child.tail() and time.monotonic() < deadline:
        time.sleep(0.01)
    assert own._lock is not None
    own._lock.close()  # as at the end of its process
    again = State(own.path)
    again.acquire()
    assert leftovers(own.path) == []
    again.release()


def test_several_may_ask_at_once_whether_it_runs(own: State) -> None:
    own.release()
    with (own.path / "lock").open() as other:
        fcntl.flock(other, fcntl.LOCK_SH)
        assert not own.is_held


@pytest.mark.skipif(sys.platform != "linux", reason="Linux has death signals")
def test_children_end_with_the_process_that_started_them(own: State) -> None:
    starter = (
        "import sys, os; from pathlib import Path\n"
        "from local.state import State; from local.process import Child\n"
        f"child = Child('c', State(Path({str(own.path)!r})))\n"
        f"child.start({SLEEP!r}, cwd=Path('/'), env={PATH!r})\n"
        "print(child.pid, flush=True); os.kill(os.getpid(), 9)"
    )
    root = Path(__file__).parents[3]
    done = subprocess.run(
        [sys.executable, "-c", starter], cwd=root, capture_output=True, text=True
    )
    pid = int(done.stdout)
    deadline = time.monotonic() + 5
    while pid in [process.pid for process in leftovers(own.path)]:
        assert time.monotonic() < deadline
        time.sleep(0.01)
