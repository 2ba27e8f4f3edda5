"""What `python main.py` asks of the server, and what it does without."""

import os
import runpy
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import uvicorn

from app.api.protocol import PROTOCOLS

MAIN = Path(__file__).parents[2] / "main.py"


Ask = Callable[..., dict[str, Any]]


@pytest.fixture
def ask(monkeypatch: pytest.MonkeyPatch) -> Ask:
    """What the server is told with these variables."""

    def ask(**variables: str) -> dict[str, Any]:
        told: dict[str, Any] = {}
        monkeypatch.setattr(uvicorn, "run", lambda _, **options: told.update(options))
        for name, value in variables.items():
            monkeypatch.setenv(name, value)
        runpy.run_path(str(MAIN), run_name="__main__")
        return told

    return ask


@pytest.mark.promise(
    "SEQUENCE-DIAGRAMS.md",
    "it accepts no new work, finishes running work, then closes its connections",
)
def test_a_stop_waits_longer_than_the_longest_request_and_not_for_ever(
    ask: Ask,
) -> None:
    for seconds in ("6", "25"):
        told = ask(RPC_TIMEOUT_SECONDS=seconds, IDEMPOTENCY_LEASE_SECONDS="60")
        assert 5 <= told["timeout_graceful_shutdown"] - int(seconds) <= 10


def test_the_server_speaks_with_the_tested_protocols(ask: Ask) -> None:
    """Tests that serve in their own process take the same ones."""
    told = ask()
    assert told.items() >= PROTOCOLS.items() and {"http", "ws"} <= PROTOCOLS.keys()


def test_the_server_says_little_and_believes_the_proxies_that_it_is_told(
    ask: Ask,
) -> None:
    told = ask(FORWARDED_ALLOW_IPS="10.0.0.0/8")
    assert told["forwarded_allow_ips"] == "10.0.0.0/8"
    assert told["server_header"] is False
    assert told["log_config"] is None and told["access_log"] is False


@pytest.mark.parametrize(
    ("host", "processes", "asked"),
    [
        # Without a name, a single process listens on IPv4 and IPv6.
        *(("::", "1", ""), ("::", "2", "::")),
        *(("0.0.0.0", "1", "0.0.0.0"), ("::1", "1", "::1")),
    ],
)
def test_it_listens_on_both_families_when_told_all(
    ask: Ask, host: str, processes: str, asked: str
) -> None:
    assert ask(API_HOST=host, WEB_CONCURRENCY=processes)["host"] == asked


# They take 10 MB of memory, and only tokens need them.
WITHOUT_IDENTITY = """
import sys, main
heavy = {"cryptography.hazmat", "jwt"} & sys.modules.keys()
assert not heavy, heavy
"""


def test_it_loads_no_cryptography_while_authentication_is_off() -> None:
    code = [sys.executable, "-c", WITHOUT_IDENTITY]
    env = {name: v for name, v in os.environ.items() if not name.startswith("AUTH_")}
    subprocess.run(code, cwd=MAIN.parent, env=env, check=True)
