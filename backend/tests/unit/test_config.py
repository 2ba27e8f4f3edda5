"""Settings from the environment."""

import re
from pathlib import Path

import pytest
from pydantic import ValidationError

from app.core.config import DatabaseSettings, Group, Settings

ROOT = Path(__file__).parents[3]


@pytest.fixture(autouse=True)
def no_environment(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.chdir(tmp_path)
    for name in variables():
        monkeypatch.delenv(name, raising=False)


def variables(group: type[Group] = Settings) -> set[str]:
    """The environment variables of a group and of the groups in it."""
    found = set()
    for name, field in group.model_fields.items():
        kind = field.annotation
        if isinstance(kind, type) and issubclass(kind, Group):
            found |= variables(kind)
        else:
            found.add((group.model_config.get("env_prefix", "") + name).upper())
    return found


def test_the_defaults_are_those_of_the_containers() -> None:
    settings = Settings()
    assert settings.celery.broker_url.get_secret_value() == "redis://redis:6379/0"
    assert settings.rabbitmq.host == "rabbitmq"
    assert settings.rabbitmq.password.get_secret_value() == "welcome1"
    assert settings.data_queue_name == "data_queue"
    assert settings.database.async_url.startswith("postgresql+asyncpg://")


def test_variables_of_the_brief_are_read(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("RABBITMQ_PORT", "5673")
    monkeypatch.setenv("DATA_QUEUE_NAME", "other")
    monkeypatch.setenv("SQL_ECHO", "true")
    settings = Settings()
    assert settings.rabbitmq.port == 5673
    assert settings.data_queue_name == "other"
    assert settings.database.sql_echo


@pytest.mark.parametrize(
    "url",
    ["postgresql://u@h/d", "postgresql+psycopg2://u@h/d", "postgresql+asyncpg://u@h/d"],
)
def test_the_driver_is_spelled_out(url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DATABASE_URL", url)
    settings = DatabaseSettings()
    assert settings.sync_url == "postgresql+psycopg2://u@h/d"
    assert settings.async_url == "postgresql+asyncpg://u@h/d"


def test_production_refuses_the_password_of_the_readme(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("ENVIRONMENT", "production")
    with pytest.raises(ValidationError, match="RABBITMQ_PASSWORD"):
        Settings()


def test_secrets_stay_out_of_repr() -> None:
    assert "welcome1" not in repr(Settings())


def test_the_example_file_names_every_variable() -> None:
    text = (ROOT / ".env.example").read_text()
    named = set(re.findall(r"^#? ?([A-Z][A-Z_]+)=", text, re.MULTILINE))
    assert variables() <= named
