"""The launcher when it cannot start, or is stopped before it has. In test_modes.py it
starts."""

import signal
from pathlib import Path

import pytest

from local import status
from local.process import ProcessFailed
from local.servers.broker import names_rabbitmq
from local.servers.external import ExternalRabbitMQ
from local.servers.rabbitmq import RabbitMQ
from local.state import leftovers
from local.tests.integration.launcher import POOR_MACHINE, Launcher
from local.tests.troubleshooting import explanation


def test_stopped_while_starting(
    launcher: Launcher, capsys: pytest.CaptureFixture[str]
) -> None:
    assert status.show([], launcher.folder) == 1
    said = capsys.readouterr()
    assert said.out + said.err == f"{status.NOT_RUNNING}\n"
    launcher.start()
    launcher.wait_for("(starting rabbitmq|starting redis)")
    assert launcher.end(signal.SIGTERM) == 0
    assert leftovers(launcher.folder) == []


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
    assert "user guest or its password is wrong" in said
    assert "RABBITMQ_HOST" in said and "unset both" in explanation(said)


@pytest.mark.parametrize(
    ("url", "words"),
    [
        ("amqp://guest:sesame@{at}/", "user guest or its password is wrong"),
        ("amqp://{login}@{at}/nowhere", "no virtual host nowhere"),
        ("amqps://{login}@{at}/", "this port speaks no TLS"),
        ("amqp://{login}@{at}/a/b", "has a / in the virtual host"),
    ],
)
def test_a_url_that_cannot_be_used_has_one_message(
    rabbitmq: RabbitMQ, monkeypatch: pytest.MonkeyPatch, url: str, words: str
) -> None:
    login = f"{rabbitmq.user}:{rabbitmq.password}"
    url = url.format(login=login, at=rabbitmq.endpoint)
    monkeypatch.setenv("RPC_BROKER_URL", url)
    assert names_rabbitmq()
    with pytest.raises(ProcessFailed, match=words) as failed:
        ExternalRabbitMQ().require()
    assert str(failed.value).count("Check RPC_BROKER_URL") == 1
    assert "sesame" not in str(failed.value)
