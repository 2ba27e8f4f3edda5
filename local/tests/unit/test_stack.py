"""How our processes stop together, and what they are told while they run."""

import os
import re
import signal
import sys
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import pytest

from chassis.telemetry.export import STOP_TIMEOUT
from local import install, run, status
from local.apps import ROOT, App
from local.process import Cancelled, Child, ProcessFailed
from local.run import ENVIRONMENT_FILE, Launcher
from local.servers import redis
from local.servers.nginx import Nginx, gateway_settings
from local.stack import Servers, Stack
from local.state import State
from local.tls import Tls


class Part:
    """Notes that it stops, and what it is told."""

    port = 1
    cwd = Path("services/none")

    def __init__(self, name: str, stopped: list[str]) -> None:
        self.name, self._stopped = name, stopped
        self.env: Any = {}
        self.settings: Any = {}
        self.reloads = 0

    def stop(self) -> None:
        self._stopped.append(self.name)

    def reload(self) -> None:
        self.reloads += 1


@pytest.fixture
def stopped() -> list[str]:
    return []


@pytest.fixture
def stack(stopped: list[str]) -> Stack:
    def part(name: str) -> App:
        return cast(App, Part(name, stopped))

    return Stack(
        *({}, [part("service")], part("worker"), [part("api")]),
        nginx=cast(Nginx, part("nginx")),
        clock=[part("beat")],
        relays=[part("relay")],
    )


def test_a_running_request_ends_before_its_process_is_killed() -> None:
    """It may wait for the database; then the process sends its last telemetry."""
    example = (ROOT / ".env.example").read_text()
    found = re.search(r"^DB_TIMEOUT_SECONDS=(\d+)$", example, re.MULTILINE)
    assert found and App.stop_timeout >= int(found[1]) + STOP_TIMEOUT


def test_what_takes_requests_stops_first_and_what_answers_them_last(
    stack: Stack, stopped: list[str]
) -> None:
    """A worker that finishes its tasks still calls services."""
    stack.stop()
    assert stopped[:2] == ["nginx", "api"]
    assert stopped[-2:] == ["worker", "service"]
    assert set(stopped[2:-2]) == {"beat", "relay"}


def test_saved_settings_reach_every_part(stack: Stack) -> None:
    env = {"NGINX_CONNECTIONS": "7", "LOG_LEVEL": "DEBUG"}
    stack.set_environment(env)
    for each in [*stack.apis, stack.worker, *stack.clock, *stack.relays]:
        assert each.env["LOG_LEVEL"] == "DEBUG"
    assert stack.services[0].env["LOG_LEVEL"] == "DEBUG"
    nginx = cast(Any, stack.nginx)
    assert nginx.settings == gateway_settings(env) and nginx.reloads == 1


OFF = dict.fromkeys(("traces", "reload", "debug", "auth"), False)


def test_passwords_of_a_running_stack_are_its_owners_alone(tmp_path: Path) -> None:
    launcher = Launcher(State(tmp_path), **OFF)
    told = {"ENVIRONMENT": "development", "RABBITMQ_PASSWORD": "sesame"}
    servers = SimpleNamespace(environment=lambda: told)
    launcher._necessary(cast(Servers, servers), [])
    launcher.terminal.close()
    file = tmp_path / ENVIRONMENT_FILE
    assert "sesame" in file.read_text() and file.stat().st_mode & 0o077 == 0


class Ended(Exception):
    """Instead of the end of this process."""


def test_a_second_signal_leaves_nothing_behind(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def end(code: int) -> None:
        raise Ended(code)

    monkeypatch.setattr(os, "_exit", end)
    state = State(tmp_path / "run")
    state.acquire()
    child = Child("child", state)
    sleep = [sys.executable, "-c", "import time; time.sleep(60)"]
    child.start(sleep, cwd=tmp_path, env={"PATH": os.environ["PATH"]})
    launcher = Launcher(state, **OFF)
    launcher.on_signal(signal.SIGINT, None)
    assert state.cancelled.is_set() and child.alive
    with pytest.raises(Ended, match="130"):
        launcher.on_signal(signal.SIGINT, None)
    launcher.terminal.close()
    assert child.wait() == -signal.SIGKILL and not state.is_held


def test_a_stack_that_stops_is_not_told_as_broken(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """`make status` meanwhile finds no parts that should be up."""
    state = State(tmp_path / "run")
    state.acquire()
    status.note(state.path, [status.Part("redis", "7", 1, "")])
    launcher = Launcher(state, **OFF)
    meanwhile: list[list[status.Part]] = []
    monkeypatch.setattr(
        run, "stop_all", lambda _: meanwhile.append(status.noted(state.path))
    )
    assert status.noted(state.path)
    launcher._stop()
    launcher.terminal.close()
    assert meanwhile == [[]]
    state.release()


@pytest.mark.parametrize("reload", [True, False])
def test_only_what_reloads_waits_for_the_next_change_when_it_dies(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, reload: bool
) -> None:
    """Otherwise it would stay away, and the stack with it."""
    waiting: list[list[App]] = []

    class Watching:
        def __init__(self, _: object, __: object, reloaded: list[App]) -> None:
            waiting.append(reloaded)
            self.watch, self.close = (lambda _: None), (lambda: None)

    state = State(tmp_path)
    launcher = Launcher(state, **{**OFF, "reload": reload})
    api, worker = (
        App(name, state, [], cwd=tmp_path, env={}) for name in ("api", "worker")
    )
    launcher._stack = Stack({}, [], worker, [api], nginx=None, clock=[], relays=[])
    monkeypatch.setattr(run, "Supervisor", Watching)
    monkeypatch.setattr(Launcher, "_watchers", lambda *_: iter(()))
    launcher._watch()
    launcher.terminal.close()
    assert waiting == [[api, worker] if reload else []]


def test_what_a_server_keeps_is_its_owners_alone(tmp_path: Path) -> None:
    assert State(tmp_path).folder("redis").stat().st_mode & 0o077 == 0


def test_a_redis_without_tls_is_not_started_with_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(redis, "find_tls_binary", lambda: None)
    state = State(tmp_path, Tls(tmp_path))
    with pytest.raises(ProcessFailed, match="with TLS"):
        redis.Redis(state, 1).command()


@pytest.mark.parametrize("said", ["Bad directive or wrong number", "Invalid port"])
def test_a_redis_of_the_machine_is_asked_whether_it_has_tls(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, said: str
) -> None:
    program = tmp_path / "redis-server"
    program.write_text(f"#!/bin/sh\necho '{said}'\nexit 1\n")
    program.chmod(0o755)
    monkeypatch.setenv("PATH", str(tmp_path), prepend=":")
    expected = None if said.startswith("Bad") else program
    assert redis.find_binary(with_tls=True) == expected


@pytest.mark.parametrize("encrypted", [False, True])
def test_the_printed_address_speaks_what_the_gateway_does(
    tmp_path: Path, encrypted: bool
) -> None:
    state = State(tmp_path, Tls(tmp_path) if encrypted else None)
    expected = "https://127.0.0.1:7" if encrypted else "http://127.0.0.1:7"
    assert Nginx(state, 7, []).address == expected


def test_a_start_forgets_the_parts_of_a_run_that_was_killed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(_say: object) -> None:
        raise Cancelled

    monkeypatch.setattr(install, "install_missing", fail)
    state = State(tmp_path)
    state.acquire()
    launcher = Launcher(state, **OFF)
    status.note(tmp_path, [status.Part("worker", "1", 0, "")])
    with pytest.raises(Cancelled):
        launcher._start()
    launcher.terminal.close()
    assert status.noted(tmp_path) == []
    state.release()
