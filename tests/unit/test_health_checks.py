"""The commands by which Docker tells a server that serves from one that does not."""

import json
import os
import re
import subprocess
import sys
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from typing import Any

import pytest
import yaml

from local.apps import ROOT

FILES = ("docker-compose.yml", "docker-compose.ha.yml", "docker-compose.tls.yml")


def checks(word: str) -> Iterator[str]:
    """The shell's words of every check that names a program."""
    for file in FILES:
        services: dict[str, Any] = yaml.safe_load((ROOT / file).read_text())["services"]
        for service in services.values():
            kind, *command = service.get("healthcheck", {}).get("test", [""])
            if word in " ".join(command):
                assert kind == "CMD-SHELL" and len(command) == 1
                yield command[0]


@pytest.mark.parametrize("answer", ["PONG", "NOAUTH Authentication required.", ""])
def test_redis_is_healthy_when_it_lets_us_in(tmp_path: Path, answer: str) -> None:
    """`redis-cli` ends with 0 whatever the answer is."""
    client = tmp_path / "redis-cli"
    client.write_text(f"#!/bin/sh\necho '{answer}'\n")
    client.chmod(0o755)
    env = {"PATH": f"{tmp_path}:{os.environ['PATH']}"}
    commands = {*checks("redis-cli")}
    assert len(commands) == 3  # of a server, with TLS, and of a Sentinel
    for command in commands:
        code = subprocess.run(["sh", "-c", command], env=env).returncode
        assert (code == 0) == (answer == "PONG"), command


def test_postgresql_is_asked_where_clients_connect() -> None:
    """Its socket is open while the image's start script still prepares a database."""
    (command,) = {*checks("pg_isready")}
    assert " -h localhost " in command


class Page(BaseHTTPRequestHandler):
    """Answers with a status."""

    status = 200
    asked = ""

    def do_GET(self) -> None:
        type(self).asked = self.path
        self.send_response(self.status)
        self.end_headers()

    def log_message(self, format: str, *args: object) -> None:
        pass


@pytest.mark.parametrize("status", [200, 503])
def test_rabbitmq_is_healthy_when_its_http_server_answers(
    status: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Page, "status", status)
    with HTTPServer(("127.0.0.1", 0), Page) as server:
        serve = threading.Thread(target=server.serve_forever, args=(0.01,), daemon=True)
        serve.start()
        own, script = server.server_port, (ROOT / "rabbitmq/healthcheck.sh").read_text()
        # Both ports are open; then that of AMQP is not.
        for amqp, is_well in ((own, status == 200), (1, False)):
            text = script.replace("/15672", f"/{own}").replace("/5672", f"/{amqp}")
            text = text.replace("localhost", "127.0.0.1")
            code = subprocess.run(["bash", "-c", text], capture_output=True).returncode
            assert (code == 0) == is_well
        server.shutdown()


@pytest.mark.parametrize("status", [200, 500, 503])
def test_the_api_is_healthy_when_its_event_loop_answers(
    status: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """At the port of its setting; and without a question to its servers."""
    monkeypatch.setattr(Page, "status", status)
    text = (ROOT / "backend/Dockerfile").read_text()
    (found,) = re.findall(r"^HEALTHCHECK .*\\\n +CMD (.*)$", text, re.MULTILINE)
    python, *arguments = json.loads(found)
    assert python == "python"
    with HTTPServer(("127.0.0.1", 0), Page) as server:
        serve = threading.Thread(target=server.serve_forever, args=(0.01,), daemon=True)
        serve.start()
        env = {"API_PORT": str(server.server_port)}
        code = subprocess.run([sys.executable, *arguments], env=env).returncode
        server.shutdown()
    assert (code == 0) == (status == 200) and Page.asked == "/health/live"
