"""Settings from the environment and from files: the same rules for both ends."""

import os
from pathlib import Path

import pytest
from pydantic import Field, SecretStr
from pydantic_settings import SettingsConfigDict

from chassis.environment import Group, load
from chassis.settings import (
    ProcessSettings,
    RabbitMQSettings,
    RpcSettings,
    ServiceSettings,
)

PREFIXES = ("RABBITMQ_", "RPC_", "LOG_", "QUEUE_", "SERVICE_", "ENVIRONMENT")


@pytest.fixture(autouse=True)
def alone(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Runs without the machine's variables and `.env`."""
    monkeypatch.delenv("ENV_FILE")
    for name in [name for name in os.environ if name.startswith(PREFIXES)]:
        monkeypatch.delenv(name)
    folder = tmp_path / "services" / "pricing"
    folder.mkdir(parents=True)
    monkeypatch.chdir(folder)


def test_the_contract_defaults() -> None:
    settings = load(ServiceSettings)
    assert settings.rabbitmq.host == "rabbitmq"
    assert settings.rabbitmq.port == 5672
    assert settings.rabbitmq.user == "guest"
    assert settings.rabbitmq.password.get_secret_value() == "welcome1"
    assert (settings.queue_name, settings.service_name) == (None, None)
    assert (settings.concurrency, settings.shutdown_grace_seconds) == (32, 25)


def test_variables(monkeypatch: pytest.MonkeyPatch) -> None:
    variables = {
        "RABBITMQ_HOST": "broker",
        "RABBITMQ_PORT": "5671",
        "RABBITMQ_USER": "user",
        "RABBITMQ_PASSWORD": "secret",
        "RABBITMQ_VHOST": "kit",
        "RABBITMQ_SSL": "True",
        "RABBITMQ_HEARTBEAT_SECONDS": "7",
        "RPC_BROKER_URL": "redis://localhost",
        "QUEUE_NAME": "other_queue",
        "SERVICE_NAME": "other",
        "CONCURRENCY": "3",
        "SHUTDOWN_GRACE_SECONDS": "1.5",
        "HEARTBEAT_FILE": "alive",
    }
    for name, value in variables.items():
        monkeypatch.setenv(name, value)
    settings = load(ServiceSettings)
    rabbitmq = settings.rabbitmq
    assert (rabbitmq.host, rabbitmq.port, rabbitmq.user) == ("broker", 5671, "user")
    assert (rabbitmq.vhost, rabbitmq.ssl) == ("kit", True)
    assert rabbitmq.heartbeat_seconds == 7
    assert settings.rpc.broker_url
    assert settings.rpc.broker_url.get_secret_value() == "redis://localhost"
    assert (settings.queue_name, settings.service_name) == ("other_queue", "other")
    assert (settings.concurrency, settings.shutdown_grace_seconds) == (3, 1.5)
    assert settings.heartbeat_file == Path("alive")


@pytest.mark.parametrize("name", ["RABBITMQ_PASSWORD", "RPC_BROKER_URL"])
def test_secrets_from_files(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, name: str
) -> None:
    file = tmp_path / "secret"
    file.write_text("redis://:secret@host\n")
    monkeypatch.setenv(f"{name}_FILE", str(file))
    settings = load(ProcessSettings)
    found = {
        "RABBITMQ_PASSWORD": settings.rabbitmq.password,
        "RPC_BROKER_URL": settings.rpc.broker_url,
    }[name]
    assert found and found.get_secret_value() == "redis://:secret@host"


@pytest.mark.parametrize(
    ("text", "secret"),
    [
        (" two words \r\n", " two words "),
        # Not the default: everybody knows that one, and a refused login is seen.
        ("\n", ""),
    ],
)
def test_only_line_ends_are_cut_off_a_secret(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, text: str, secret: str
) -> None:
    file = tmp_path / "secret"
    file.write_text(text)
    monkeypatch.setenv("RABBITMQ_PASSWORD_FILE", str(file))
    assert RabbitMQSettings().password.get_secret_value() == secret


def test_a_secret_is_read_again_and_the_rest_stays(
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: Path,
    caplog: pytest.LogCaptureFixture,
) -> None:
    file = tmp_path / "secret"
    file.write_text("first")
    monkeypatch.setenv("RABBITMQ_PASSWORD_FILE", str(file))
    first = RabbitMQSettings(host="given")
    assert first.read_again() is first
    file.write_text("second")
    second = first.read_again()
    assert (second.password.get_secret_value(), second.host) == ("second", "given")
    file.unlink()  # as while it is replaced
    assert second.read_again() is second
    (said,) = caplog.messages
    assert "RABBITMQ_PASSWORD_FILE" in said and "second" not in said


def test_the_env_file_of_the_project_is_read(tmp_path: Path) -> None:
    (tmp_path / ".env").write_text("RABBITMQ_HOST=from-file\nUNKNOWN=1\n")
    assert load(ServiceSettings).rabbitmq.host == "from-file"


def test_invalid_variables_are_named_without_values(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("RABBITMQ_PORT", "sesame")
    monkeypatch.setenv("RPC_BROKER_URL", "sqs://:sesame@host")
    monkeypatch.setenv("RABBITMQ_PASSWORD", "sesame")
    monkeypatch.setenv("RABBITMQ_PASSWORD_FILE", str(tmp_path / "secret"))
    with pytest.raises(SystemExit) as ended:
        load(ServiceSettings)
    message = str(ended.value)
    assert "RABBITMQ_PASSWORD_FILE is set as well" in message
    assert "RPC_BROKER_URL: must begin with amqp://" in message
    assert "sesame" not in message
    monkeypatch.delenv("RABBITMQ_PASSWORD")
    monkeypatch.delenv("RABBITMQ_PASSWORD_FILE")
    with pytest.raises(SystemExit, match="RABBITMQ_PORT: "):
        load(ServiceSettings)


def test_a_file_that_is_missing_is_named(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("RABBITMQ_PASSWORD_FILE", str(tmp_path / "gone"))
    with pytest.raises(SystemExit, match="gone cannot be read: No such file"):
        load(ServiceSettings)


def test_a_service_may_have_its_own_settings(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    class PricingSettings(ServiceSettings):
        currency: str = "EUR"

    monkeypatch.setenv("CURRENCY", "CHF")
    assert load(PricingSettings).currency == "CHF"


PASSWORDS = {
    "ENVIRONMENT": "production",
    "RABBITMQ_PASSWORD": "of-your-own",
    "SHOP_KEY": "of-your-own",
}


class ShopSettings(Group):
    """A group of a team's own."""

    model_config = SettingsConfigDict(env_prefix="SHOP_")

    key: SecretStr | None = None


class OwnSettings(ServiceSettings):
    """Settings with it."""

    shop: ShopSettings = Field(default_factory=ShopSettings)


@pytest.mark.promise(
    "docs/SECURITY.md", "refuse every password that this repository prints"
)
@pytest.mark.promise(
    "ARCHITECTURE.md", "`ENVIRONMENT=production` rejects the development passwords."
)
@pytest.mark.parametrize(
    ("name", "value", "refused"),
    [
        ("RABBITMQ_PASSWORD", "welcome1", True),
        ("RABBITMQ_PASSWORD", "", True),  # the default counts
        ("RPC_BROKER_URL", "amqp://guest:guest@h", True),
        ("RPC_BROKER_URL", "amqp://h", True),
        ("RPC_BROKER_URL", "amqp://u:of-your-own@h", False),
        ("RPC_BROKER_URL", "redis://:welcome1@h/0", True),
        ("SHOP_KEY", "password", True),
        ("LOG_LEVEL", "INFO", False),
    ],
)
def test_a_service_refuses_development_passwords_in_production(
    monkeypatch: pytest.MonkeyPatch, name: str, value: str, refused: bool
) -> None:
    for variable, given in {**PASSWORDS, name: value}.items():
        monkeypatch.setenv(variable, given)
    if not refused:
        load(OwnSettings)
        return
    with pytest.raises(SystemExit) as ended:
        load(OwnSettings)
    assert str(ended.value).splitlines()[1].startswith(f"  {name}: ")
    assert len(str(ended.value).splitlines()) == 3
    monkeypatch.setenv("ENVIRONMENT", "development")
    load(OwnSettings)


def test_a_url_replaces_the_password(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ENVIRONMENT", "production")
    monkeypatch.setenv("RPC_BROKER_URL", "amqp://u:of-your-own@h")
    load(ServiceSettings)


def test_settings_show_no_secret(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("RABBITMQ_PASSWORD", "sesame")
    monkeypatch.setenv("RPC_BROKER_URL", "amqp://guest:sesame@host")
    shown = f"{RabbitMQSettings()!r} {RpcSettings()!r} {RpcSettings()}"
    assert "sesame" not in shown


class Lists(Group):
    names: list[str] = Field([])
    number: int = Field(1)
    other: int = Field(1)


def test_each_invalid_variable_has_its_line(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("NUMBER", "sesame")
    monkeypatch.setenv("OTHER", "sesame")
    with pytest.raises(SystemExit) as ended:
        load(Lists)
    first, number, other, last = str(ended.value).splitlines()
    assert first == "The settings are invalid:"
    assert number.startswith("  NUMBER: ") and other.startswith("  OTHER: ")
    assert last == ".env.example describes every variable."


def test_a_list_has_to_be_json(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("NAMES", "sesame, other")
    with pytest.raises(SystemExit, match=r'  NAMES: must be JSON, such as \["a"'):
        load(Lists)
