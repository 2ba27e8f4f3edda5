"""The launcher, as a user sees it: started, killed, stopped."""

import json
import os
import re
import signal
import urllib.request
from pathlib import Path

import pytest

from local import status
from local.apps import answers
from local.registry import registered
from local.servers.rabbitmq import RabbitMQ
from local.state import leftovers
from local.tests.integration.launcher import POOR_MACHINE, Launcher
from local.tests.troubleshooting import explanation


@pytest.mark.timeout(300)
def test_from_start_to_end_through_kills(
    launcher: Launcher, capsys: pytest.CaptureFixture[str]
) -> None:
    def ask() -> tuple[int, str]:
        code = status.show([], launcher.folder)
        said = capsys.readouterr()
        return code, said.out + said.err

    assert ask() == (1, f"{status.NOT_RUNNING}\n")
    launcher.start()
    assert answers(launcher.url() + "/health/ready")
    code, table = ask()
    lines = launcher.output.read_text().splitlines()
    assert code == 0
    # The same output as that of `make run`.
    assert [line for line in table.splitlines() if " up " in line] == [
        line for line in lines if " up  " in line
    ]
    assert re.search(rf"^  nginx .* up  .* {launcher.url()}$", table, re.MULTILINE)
    assert re.search(r"^  postgres .* up  .* \d+\.\d+ ", table, re.MULTILINE)

    second = Launcher(launcher.folder)
    second.output = launcher.folder.with_suffix(".second")
    second.start()
    assert second.process.wait(10) == 1
    assert "stop that one" in explanation(second.output.read_text())
    assert answers(launcher.url() + "/health/ready")

    launcher.end(signal.SIGKILL)
    launcher.start()
    assert answers(launcher.url() + "/health/ready")

    for name in ("redis", "beat"):
        os.kill(launcher.named(name), signal.SIGKILL)
        launcher.wait_for(rf"({name} is back)")
    os.kill(launcher.named("worker"), signal.SIGSTOP)
    code, table = ask()
    assert code == 1
    assert re.search(r"^  worker +stopped", table, re.MULTILINE)
    os.kill(launcher.named("api"), signal.SIGKILL)
    assert launcher.end(signal.SIGINT) == 0
    assert "stopping nginx, " in launcher.output.read_text()
    assert leftovers(launcher.folder) == []
    assert ask() == (1, f"{status.NOT_RUNNING}\n")


def test_stopped_while_starting(launcher: Launcher) -> None:
    launcher.start()
    launcher.wait_for("(starting rabbitmq|starting redis)")
    assert launcher.end(signal.SIGTERM) == 0
    assert leftovers(launcher.folder) == []


def test_without_rabbitmq_and_nginx(launcher: Launcher) -> None:
    launcher.start(POOR_MACHINE)
    url = launcher.url()
    output = launcher.output.read_text()
    assert "RPC goes over Redis" in output
    assert "install it" in explanation(output.partition("nginx is not")[0])
    assert "port 8000" in explanation(
        "nginx is not" + output.partition("nginx is not")[2]
    )
    assert answers(f"{url}/health/ready")
    if "data" in registered():
        assert_calls_go_over_redis(url)
    assert launcher.end(signal.SIGINT) == 0


def test_a_service_with_a_syntax_error(launcher: Launcher, tmp_path: Path) -> None:
    """The stack says so, and does not start without the service."""
    (tmp_path / "broken").mkdir()
    (tmp_path / "broken/main.py").write_text("def broken(:\n")
    launcher.start(
        f"{POOR_MACHINE}import pathlib; from local import apps\n"
        f"apps.service_folders = lambda: [pathlib.Path({str(tmp_path / 'broken')!r})]\n"
    )
    assert launcher.process.wait(60) == 1
    said = launcher.output.read_text()
    assert "Ready in" not in said and "is back" not in said
    assert 'main.py", line 1' in said and "correct it" in explanation(said)


def test_a_wrong_password_of_rabbitmq_is_told_at_once(
    launcher: Launcher, rabbitmq: RabbitMQ
) -> None:
    launcher.start(
        "import os; os.environ.update("
        f"RABBITMQ_HOST='127.0.0.1', RABBITMQ_PORT='{rabbitmq.port}', "
        "RABBITMQ_PASSWORD='sesame')\n"
    )
    assert launcher.process.wait(30) == 1
    said = launcher.output.read_text()
    assert "starting" not in said
    assert "ACCESS_REFUSED" in said and "RABBITMQ_HOST" in explanation(said)


def assert_calls_go_over_redis(url: str) -> None:
    request = urllib.request.Request(
        url + "/api/v1/data/process",
        data=b'{"payload": "hello", "description": "uppercase"}',
        headers={"Content-Type": "application/json"},
    )
    with urllib.request.urlopen(request, timeout=20) as answer:
        assert json.load(answer)["outcome"]["output"] == "HELLO"
