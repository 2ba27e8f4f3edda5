"""`make smoke` finds the running stack."""

import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from local import smoke, status, tokens
from local.state import State
from local.status import Part

API = Part("api", "1.4.0", 8000, "http://127.0.0.1:8000, debugger: port 5678")
GATEWAY = Part("nginx", "1.29", 8081, "https://127.0.0.1:8081", tls="/certificates")
ISSUER = Part("issuer", "", 9000, "http://127.0.0.1:9000")


@pytest.fixture
def path(tmp_path: Path) -> Iterator[Path]:
    """The folder of a stack that runs."""
    state = State(tmp_path / "run")
    state.acquire()
    yield state.path
    state.release()


def asked(
    monkeypatch: pytest.MonkeyPatch, path: Path, *words: str
) -> tuple[list[str], Any]:
    """The arguments of the smoke test, and its input."""
    calls: list[tuple[list[str], Any]] = []

    def run(command: list[str], **options: Any) -> subprocess.CompletedProcess[str]:
        assert command[1:3] == ["-m", "app.smoke"]
        calls.append((command[3:], options["input"]))
        return subprocess.CompletedProcess(command, 1)

    monkeypatch.setattr(subprocess, "run", run)
    monkeypatch.setattr(tokens, "get_token", lambda *given: f"token of {given}")
    assert smoke.run(list(words), path) == 1
    return calls[0]


def test_the_gateway_of_the_stack(monkeypatch: pytest.MonkeyPatch, path: Path) -> None:
    status.note(path, [API, GATEWAY])
    assert asked(monkeypatch, path) == (
        [GATEWAY.address, "--ca-file", "/certificates/ca.crt"],
        None,
    )


def test_without_nginx_the_api(monkeypatch: pytest.MonkeyPatch, path: Path) -> None:
    status.note(path, [API])
    assert asked(monkeypatch, path) == (["http://127.0.0.1:8000"], None)


def test_a_token_of_the_issuer(monkeypatch: pytest.MonkeyPatch, path: Path) -> None:
    status.note(path, [API, ISSUER])
    words, token = asked(monkeypatch, path)
    assert words[1:] == ["--token-file", "/dev/stdin"]
    assert token == f"token of {(ISSUER.address, 'smoke', ['admin'])}"


def test_without_a_stack_the_containers(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    assert asked(monkeypatch, tmp_path / "none")[0] == [smoke.CONTAINERS]


def test_what_is_named(monkeypatch: pytest.MonkeyPatch, path: Path) -> None:
    status.note(path, [GATEWAY])
    words = ["https://api.example.org", "--token-file", "token"]
    assert asked(monkeypatch, path, *words) == (words, None)
