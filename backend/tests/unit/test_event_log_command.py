"""The command for the event log: who it is in the database, and its exit code."""

from typing import Any
from unittest.mock import MagicMock

import pytest

from app import event_log as module
from app.core.database_settings import DatabaseSettings
from app.repositories.event_log import Differences

OWNER = "postgresql://owner@h/d"


@pytest.fixture
def engines(monkeypatch: pytest.MonkeyPatch) -> list[tuple[str, dict[str, Any]]]:
    """How engines are made: their URL and options."""
    made: list[tuple[str, dict[str, Any]]] = []

    def make(settings: DatabaseSettings, **options: Any) -> MagicMock:
        made.append((settings.database_url.get_secret_value(), options))
        return MagicMock()

    monkeypatch.setenv("DATABASE_URL", "postgresql://app@h/d")
    monkeypatch.setenv("MIGRATIONS_DATABASE_URL", OWNER)
    monkeypatch.setattr(module, "create_sync_engine", make)
    monkeypatch.setattr(module, "configure_logging", lambda *_: None)
    monkeypatch.setattr(module, "delete_old_events", lambda *_: 0)
    return made


@pytest.mark.parametrize(
    ("arguments", "found", "code"),
    [
        (["rebuild"], (0, 0, 0), 0),
        *((["rebuild"], each, 1) for each in ((2, 0, 0), (0, 2, 0), (0, 0, 2))),
        (["rebuild", "--apply"], (1, 1, 1), 0),  # they differ no longer
        (["prune", "30"], (1, 1, 1), 0),
    ],
    ids=str,
)
def test_it_is_the_owner_has_time_and_tells_any_difference(
    engines: list[tuple[str, dict[str, Any]]],
    monkeypatch: pytest.MonkeyPatch,
    arguments: list[str],
    found: tuple[int, int, int],
    code: int,
) -> None:
    """The role of DATABASE_URL may change no event; and all rows take their time."""
    differences = Differences(*found)
    monkeypatch.setattr(module, "compare_records", lambda _: differences)
    monkeypatch.setattr(module, "replace_records", lambda _: differences)
    assert module.main(arguments) == code
    ((url, options),) = engines
    assert url == DatabaseSettings(database_url=OWNER).database_url.get_secret_value()
    assert options["statement_seconds"] == 0
