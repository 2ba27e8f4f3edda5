"""What the launcher asks of RabbitMQ and PostgreSQL, without either."""

import base64
import json
import os
import subprocess
import urllib.request
from pathlib import Path
from typing import Any

import amqp
import pytest

from local.servers import postgres, rabbitmq
from local.servers.postgres import PASSWORD, PostgreSQL
from local.servers.privileges import Runner
from local.servers.rabbitmq import RabbitMQ
from local.state import State
from local.tls import Tls


@pytest.mark.parametrize(
    "refusal", [amqp.AccessRefused(), amqp.ConnectionForced(), ConnectionRefusedError()]
)
def test_a_broker_that_refuses_is_no_error_while_it_starts(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, refusal: Exception
) -> None:
    """It may listen before it knows its users."""

    def refuse(*_: object, **__: object) -> None:
        raise refusal

    monkeypatch.setattr(amqp, "Connection", refuse)
    assert not RabbitMQ(State(tmp_path), 1, 2).answers()


@pytest.mark.parametrize("encrypted", [False, True])
def test_rabbitmq_is_changed_by_its_user_over_a_connection_that_is_verified(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, encrypted: bool
) -> None:
    asked: list[tuple[urllib.request.Request, Tls | None]] = []

    class Answer:
        def close(self) -> None:
            pass

    def open_url(request: urllib.request.Request, _: float, tls: Tls | None) -> Answer:
        asked.append((request, tls))
        return Answer()

    monkeypatch.setattr(rabbitmq, "open_url", open_url)
    tls = Tls(tmp_path) if encrypted else None
    node = RabbitMQ(State(tmp_path, tls), 1, 2)
    node.call("PUT", "vhosts/shop", {"tags": "new"})
    ((request, used),) = asked
    assert used is tls
    expected = "https" if encrypted else "http"
    assert request.full_url == f"{expected}://127.0.0.1:2/api/vhosts/shop"
    login = base64.b64encode(f"{node.user}:{node.password}".encode()).decode()
    assert request.get_header("Authorization") == f"Basic {login}"
    assert isinstance(request.data, bytes)
    assert (request.method, json.loads(request.data)) == ("PUT", {"tags": "new"})


def test_who_creates_the_database_may_read_its_password(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Where namespaces are not allowed, that is another user."""
    owners: list[tuple[Path, int, int]] = []
    users: list[Any] = []

    def run(argv: list[str], **options: Any) -> subprocess.CompletedProcess[str]:
        if argv[0].endswith("initdb"):
            assert (tmp_path / "password").read_text() == PASSWORD
            assert "--pwfile=password" in argv and options["cwd"] == tmp_path
            users.append((options["user"], options["group"]))
            (tmp_path / argv[argv.index("-D") + 1]).mkdir()
        return subprocess.CompletedProcess(argv, 0, "", "")

    monkeypatch.setattr(postgres, "run_process", run)
    monkeypatch.setattr(os, "chown", lambda *given: owners.append(given))
    runner = Runner((), tmp_path / "bin", tmp_path, 65534)
    PostgreSQL(State(tmp_path), 1)._initialise(runner, tmp_path / "data")
    assert owners == [(tmp_path / "password", 65534, 65534)]
    assert users == [(65534, 65534)]
    assert (tmp_path / "data").is_dir()
    assert not (tmp_path / "password").exists()
