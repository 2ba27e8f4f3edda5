"""Which RabbitMQ the launcher and the tests start."""

from pathlib import Path

import pytest

from local.isolation import isolated
from local.process import ProcessFailed
from local.servers.rabbitmq import find_script


def test_another_node_can_be_named(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """Such as the release of the image, on a machine whose package is older."""
    script = tmp_path / "rabbitmq-server"
    monkeypatch.setenv("RABBITMQ_SERVER", str(script))
    with pytest.raises(ProcessFailed, match="RABBITMQ_SERVER: there is no "):
        find_script()
    script.touch()
    assert find_script() == str(script)
    assert "RABBITMQ_SERVER" in isolated({"RABBITMQ_SERVER": str(script)})
    monkeypatch.setenv("RABBITMQ_SERVER", "")
    assert find_script() != str(script)
