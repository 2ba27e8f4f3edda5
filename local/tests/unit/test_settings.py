"""The user's settings, and those that `make run` ignores."""

from pathlib import Path

import pytest

from local.settings import ignored, merged

NEEDED = {"ENVIRONMENT": "development", "DATABASE_URL": "ours", "RABBITMQ_PORT": "5672"}


@pytest.fixture
def file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    file = tmp_path / "settings"
    monkeypatch.setenv("ENV_FILE", str(file))
    for name in NEEDED:
        monkeypatch.delenv(name, raising=False)
    return file


def test_the_environment_stands_above_the_file(
    file: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert "LOG_LEVEL" not in merged()
    file.write_text("LOG_LEVEL=DEBUG\nRPC_TIMEOUT_SECONDS=5\n")
    monkeypatch.setenv("RPC_TIMEOUT_SECONDS", "7")
    both = merged()
    assert (both["LOG_LEVEL"], both["RPC_TIMEOUT_SECONDS"]) == ("DEBUG", "7")


def test_nothing_is_said_of_what_is_as_it_should_be(
    file: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    file.write_text("ENVIRONMENT=development\nDATABASE_URL=of containers\n")
    monkeypatch.setenv("RABBITMQ_PORT", "5672")
    assert list(ignored(NEEDED)) == []


@pytest.mark.parametrize("in_file", [True, False])
def test_production_is_not_taken(
    file: Path, monkeypatch: pytest.MonkeyPatch, in_file: bool
) -> None:
    if in_file:
        file.write_text("ENVIRONMENT=production\n")
    else:
        monkeypatch.setenv("ENVIRONMENT", "production")
    (said,) = ignored(NEEDED)
    assert said.startswith("ENVIRONMENT=production is ignored")


def test_addresses_of_other_servers_are_not_taken(
    file: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("DATABASE_URL", "elsewhere")
    (said,) = ignored(NEEDED)
    assert said.endswith("DATABASE_URL") and "ignored" in said
