"""The environment becomes the receiver."""

from pathlib import Path

import pytest

import main
from app.data_service import DataService
from rabbitmq_client import EventReceiver


@pytest.fixture
def options(monkeypatch: pytest.MonkeyPatch) -> dict[str, object]:
    """What EventReceiver is made with."""
    seen: dict[str, object] = {}

    class Recorder(EventReceiver):
        def __init__(self, **options: object) -> None:
            seen.update(options)

    monkeypatch.setattr(main, "EventReceiver", Recorder)
    return seen


def test_defaults(options: dict[str, object]) -> None:
    main.make_receiver({})
    assert options == {
        "username": "guest",
        "password": "welcome1",
        "host": "rabbitmq",
        "port": 5672,
        "vhost": "/",
        "ssl": False,
        "broker_url": None,
        "queue_name": "data_queue",
        "service": DataService,
        "service_name": "data",
        "concurrency": 32,
        "shutdown_grace_seconds": 25.0,
        "heartbeat_seconds": 5,
        "heartbeat_file": None,
        "telemetry": False,
    }


def test_secrets_from_files(options: dict[str, object], tmp_path: Path) -> None:
    (tmp_path / "secret").write_text("from a file\n")
    main.make_receiver({"RABBITMQ_PASSWORD_FILE": str(tmp_path / "secret")})
    assert options["password"] == "from a file"


def test_every_variable(options: dict[str, object]) -> None:
    main.make_receiver(
        {
            "RABBITMQ_HOST": "broker",
            "RABBITMQ_PORT": "5671",
            "RABBITMQ_USER": "user",
            "RABBITMQ_PASSWORD": "secret",
            "RABBITMQ_VHOST": "kit",
            "RABBITMQ_SSL": "True",
            "RABBITMQ_HEARTBEAT_SECONDS": "5",
            "RPC_BROKER_URL": "redis://localhost",
            "QUEUE_NAME": "other_queue",
            "SERVICE_NAME": "other",
            "CONCURRENCY": "3",
            "SHUTDOWN_GRACE_SECONDS": "1.5",
            "HEARTBEAT_FILE": "alive",
        }
    )
    assert options == {
        "username": "user",
        "password": "secret",
        "host": "broker",
        "port": 5671,
        "vhost": "kit",
        "ssl": True,
        "broker_url": "redis://localhost",
        "queue_name": "other_queue",
        "service": DataService,
        "service_name": "other",
        "concurrency": 3,
        "shutdown_grace_seconds": 1.5,
        "heartbeat_seconds": 5,
        "heartbeat_file": Path("alive"),
        "telemetry": False,
    }
