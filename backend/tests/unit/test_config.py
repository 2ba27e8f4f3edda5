"""Settings from the environment."""

import re
from pathlib import Path

import pytest
from pydantic import ValidationError

from app.core.config import Settings, load_settings
from app.core.database_settings import DatabaseSettings
from chassis.environment import Group
from chassis.passwords import ROLE
from chassis.settings import ServiceSettings

ROOT = Path(__file__).parents[3]


IDENTITY = {"AUTH_ISSUER": "https://id.example.org", "AUTH_AUDIENCE": "api"}
PRODUCTION = {
    **IDENTITY,
    "ENVIRONMENT": "production",
    "RABBITMQ_PASSWORD": "x7Gk-secret",
    "DATABASE_URL": "postgresql+psycopg2://u:x7Gk-secret@h/d",
    "CELERY_BROKER_URL": "redis://:x7Gk-secret@h/0",
    "CELERY_RESULT_BACKEND": "redis://:x7Gk-secret@h/0",
}


def variables(group: type[Group] = Settings) -> set[str]:
    """The environment variables of a group and of its nested groups."""
    nested = set(group.groups())
    own = {
        group.variable(name)
        for name, field in group.model_fields.items()
        if field.annotation not in nested
    }
    return own.union(*map(variables, nested))


def secrets(group: type[Group] = Settings) -> set[str]:
    """The variables that hold secrets."""
    own = {group.variable(name) for name in group.secrets()}
    return own.union(*map(secrets, group.groups()))


@pytest.fixture(autouse=True)
def no_environment(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("ENV_FILE")
    for name in variables():
        monkeypatch.delenv(name, raising=False)
        monkeypatch.delenv(f"{name}_FILE", raising=False)


def set_all(monkeypatch: pytest.MonkeyPatch, values: dict[str, str]) -> None:
    for name, value in values.items():
        monkeypatch.setenv(name, value)


def message() -> str:
    """The error message of a process that refuses to start."""
    with pytest.raises(SystemExit) as ended:
        load_settings()
    return str(ended.value)


def test_the_defaults_are_those_of_the_containers() -> None:
    settings = Settings()
    url = settings.celery.broker_url.get_secret_value()
    assert url == "redis://:welcome1@redis:6379/0"
    assert settings.rabbitmq.host == "rabbitmq"
    assert settings.rabbitmq.password.get_secret_value() == "welcome1"
    assert settings.database.async_url.startswith("postgresql+asyncpg://")


def test_variables_of_the_brief_are_read(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("RABBITMQ_PORT", "5673")
    monkeypatch.setenv("SQL_ECHO", "true")
    settings = Settings()
    assert settings.rabbitmq.port == 5673
    assert settings.database.sql_echo


@pytest.mark.parametrize(
    "url",
    ["postgresql://u@h/d", "postgresql+psycopg2://u@h/d", "postgresql+asyncpg://u@h/d"],
)
def test_the_driver_is_explicit(url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DATABASE_URL", url)
    settings = DatabaseSettings()
    assert settings.sync_url == "postgresql+psycopg2://u@h/d"
    assert settings.async_url == "postgresql+asyncpg://u@h/d"


def test_production_starts_with_its_own_values(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    set_all(monkeypatch, PRODUCTION)
    settings = load_settings()
    assert not settings.serves_docs
    assert settings.cors.origins == []
    assert settings.forwarded_allow_ips == "127.0.0.1"


@pytest.mark.parametrize(
    ("host", "taken"),
    [
        *(("0.0.0.0", "0.0.0.0"), ("::", "::"), ("[::]", "::"), ("fe80::1", "fe80::1")),
        *(("localhost", "localhost"), ("api.example.org", "api.example.org")),
    ],
)
def test_the_api_listens_where_it_is_told(
    monkeypatch: pytest.MonkeyPatch, host: str, taken: str
) -> None:
    monkeypatch.setenv("API_HOST", host)
    assert load_settings().api_host == taken


@pytest.mark.parametrize(
    "host", ["http://0.0.0.0", "0.0.0.0:8000", "[::]:80", "a b", "[]"]
)
def test_an_address_with_more_is_refused(
    monkeypatch: pytest.MonkeyPatch, host: str
) -> None:
    monkeypatch.setenv("API_HOST", host)
    assert "API_HOST: give an address" in message()


@pytest.mark.promise(
    "docs/SECURITY.md", "refuse every password that this repository prints"
)
@pytest.mark.promise(
    "ARCHITECTURE.md", "`ENVIRONMENT=production` rejects the development passwords."
)
@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("RABBITMQ_PASSWORD", "welcome1"),
        ("RABBITMQ_PASSWORD", "guest"),
        ("DATABASE_URL", "postgresql://fastapi:fastapi@h/d"),
        ("DATABASE_URL", f"postgresql://h/d?user={ROLE}&password={ROLE}"),
        ("ASYNC_DATABASE_URL", "postgresql+asyncpg://fastapi:welc%6fme1@h/d"),
        ("CELERY_BROKER_URL", "redis://:guest@h/0"),
        ("IDEMPOTENCY_REDIS_URL", "redis://:@h/0"),
        ("RPC_BROKER_URL", "amqp://guest:guest@h//"),
        ("RPC_BROKER_URL", "amqps://a,b:5671"),
        ("CORS_ORIGINS", '["https://a.example", "*"]'),
        ("FORWARDED_ALLOW_IPS", "*"),
        ("SQL_ECHO", "true"),
        ("LOG_LEVEL", "DEBUG"),
    ],
)
def test_production_refuses(
    monkeypatch: pytest.MonkeyPatch, name: str, value: str
) -> None:
    set_all(monkeypatch, {**PRODUCTION, name: value})
    text = message()
    assert text.splitlines()[1].startswith(f"  {name}: ")
    assert len(text.splitlines()) == 3
    assert value not in text or name == "LOG_LEVEL" or value == "*"
    monkeypatch.setenv("ENVIRONMENT", "development")
    load_settings()


@pytest.mark.promise(
    "docs/SECURITY.md", "`ENVIRONMENT=production` starts only with `AUTH_ISSUER`"
)
def test_production_needs_to_know_who_may_call(monkeypatch: pytest.MonkeyPatch) -> None:
    open_to_all = {n: v for n, v in PRODUCTION.items() if n not in IDENTITY}
    set_all(monkeypatch, open_to_all)
    assert "  AUTH_ISSUER: name your identity provider" in message()
    monkeypatch.setenv("AUTH_DISABLED", "true")
    assert load_settings().auth.issuer is None


@pytest.mark.parametrize(
    "issuer",
    ["https://id.example.org/", "http://127.0.0.1:9000/realms/a", "http://[::1]:9000"],
)
def test_an_issuer_is_taken_as_it_is(
    monkeypatch: pytest.MonkeyPatch, issuer: str
) -> None:
    set_all(monkeypatch, {"AUTH_ISSUER": issuer, "AUTH_AUDIENCE": "a, b"})
    auth = load_settings().auth
    assert (auth.issuer, auth.audiences) == (issuer, ["a", "b"])


def test_production_reports_all_faults_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    set_all(monkeypatch, {"ENVIRONMENT": "production", "CORS_ORIGINS": '["*"]'})
    text = message()
    for name in ("RABBITMQ_PASSWORD", "DATABASE_URL", "CORS_ORIGINS"):
        assert f"  {name}: " in text


@pytest.mark.parametrize(
    ("environment", "variable", "expected"),
    [
        ("development", None, (True, True)),
        ("production", None, (False, False)),
        ("development", "false", (False, False)),
        ("production", "true", (True, True)),
    ],
)
def test_what_is_open_in_development_alone(
    monkeypatch: pytest.MonkeyPatch,
    environment: str,
    variable: str | None,
    expected: tuple[bool, bool],
) -> None:
    set_all(monkeypatch, {**PRODUCTION, "ENVIRONMENT": environment})
    if variable:
        choices = {"DOCS_ENABLED": variable, "WEBHOOKS_ALLOW_HTTP": variable}
        set_all(monkeypatch, choices)
    settings = load_settings()
    assert (settings.serves_docs, settings.allows_http_webhooks) == expected


def test_keys_may_have_a_redis_of_their_own(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CELERY_RESULT_BACKEND", "redis://results/0")
    assert load_settings().idempotency_redis_url == "redis://results/0"
    monkeypatch.setenv("IDEMPOTENCY_REDIS_URL", "redis://keys/0")
    assert load_settings().idempotency_redis_url == "redis://keys/0"


@pytest.mark.promise(
    "ARCHITECTURE.md", "It hides the documentation pages unless you enable them."
)
def test_production_serves_the_docs_if_configured(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    set_all(monkeypatch, {**PRODUCTION, "DOCS_ENABLED": "true"})
    assert load_settings().serves_docs


@pytest.mark.parametrize(
    ("values", "words"),
    [
        ({"RABBITMQ_PORT": "many"}, "RABBITMQ_PORT: Input should be a valid integer"),
        ({"API_PORT": "0"}, "API_PORT: Input should be greater than or equal to 1"),
        ({"ENVIRONMENT": "prod"}, "ENVIRONMENT: Input should be 'development',"),
        ({"CORS_ORIGINS": "https://a"}, "CORS_ORIGINS: must be JSON, such as"),
        ({"CORS_ORIGINS": '["https://a/"]'}, "CORS_ORIGINS: write an origin as"),
        ({"CORS_ORIGINS": '["https://ä.example"]'}, "CORS_ORIGINS: write an origin as"),
        ({"CORS_ORIGINS": '["a.example"]'}, "CORS_ORIGINS: write an origin as"),
        ({"CORS_ORIGINS": '["https://a:70000"]'}, "CORS_ORIGINS: write an origin as"),
        ({"CORS_METHODS": '["GET, POST"]'}, "CORS_METHODS: write names of methods"),
        ({"CORS_HEADERS": '["X Y"]'}, "CORS_HEADERS: write names of methods"),
        ({"CORS_MAX_AGE_SECONDS": "-1"}, "CORS_MAX_AGE_SECONDS: Input should be"),
        (
            {"CORS_ORIGINS": '["*"]', "CORS_CREDENTIALS": "true"},
            "CORS_CREDENTIALS: list the CORS_ORIGINS",
        ),
        ({"FORWARDED_ALLOW_IPS": "10.0.0.1/8"}, "FORWARDED_ALLOW_IPS: list addresses"),
        ({"FORWARDED_ALLOW_IPS": "nginx"}, "FORWARDED_ALLOW_IPS: list addresses"),
        ({"AUTH_ISSUER": "http://id.example.org"}, "AUTH_ISSUER: write it as the"),
        ({"AUTH_ISSUER": "https://id.example.org?a=b"}, "AUTH_ISSUER: write it as"),
        ({"AUTH_ISSUER": "https://u:p@id.example.org"}, "AUTH_ISSUER: write it as"),
        ({"AUTH_ISSUER": "https://id.example.org:x"}, "AUTH_ISSUER: write it as"),
        ({"AUTH_ISSUER": "https:///realm"}, "AUTH_ISSUER: write it as"),
        ({"AUTH_ISSUER": "https://id.example.org"}, "AUTH_AUDIENCE: name the audience"),
        ({"AUTH_AUDIENCE": "api"}, "AUTH_ISSUER: it is missing"),
        (
            {**IDENTITY, "AUTH_DISABLED": "true"},
            "AUTH_DISABLED: remove it, or remove AUTH_ISSUER",
        ),
        ({**IDENTITY, "AUTH_ALGORITHMS": '["HS256"]'}, "AUTH_ALGORITHMS: use RS256,"),
        ({**IDENTITY, "AUTH_ALGORITHMS": '["none"]'}, "AUTH_ALGORITHMS: use RS256,"),
        ({**IDENTITY, "AUTH_CA_FILE": "/nowhere"}, "AUTH_CA_FILE: /nowhere holds no"),
        (
            {"IDEMPOTENCY_LEASE_SECONDS": "40"},
            "IDEMPOTENCY_LEASE_SECONDS must be above",
        ),
        ({"CELERY_TASK_TIME_LIMIT_SECONDS": "5"}, "TIME_LIMIT_SECONDS must be below"),
        ({"RABBITMQ_PASSWORD_FILE": "/nowhere"}, "RABBITMQ_PASSWORD_FILE: /nowhere"),
    ],
)
def test_an_invalid_value_is_named(
    monkeypatch: pytest.MonkeyPatch, values: dict[str, str], words: str
) -> None:
    set_all(monkeypatch, values)
    assert f"  {words}" in message().replace("CELERY_TASK_SOFT_", "")


def test_all_invalid_values_are_named_at_once(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    set_all(monkeypatch, {"RABBITMQ_PORT": "x", "DB_POOL_SIZE": "0"})
    assert "RABBITMQ_PORT: " in message() and "DB_POOL_SIZE: " in message()


@pytest.mark.promise("ARCHITECTURE.md", "Every secret can be read from a file")
@pytest.mark.parametrize("name", sorted(secrets()))
def test_every_secret_may_come_from_a_file(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, name: str
) -> None:
    schemes = {"CELERY": "redis", "IDEMPOTENCY": "redis", "DATABASE_URL": "postgres"}
    scheme = next((s for part, s in schemes.items() if part in name), "amqp")
    url = f"{scheme}://u:x7Gk@h/0"
    (tmp_path / "secret").write_text(f"{url}\n")
    monkeypatch.setenv(f"{name}_FILE", str(tmp_path / "secret"))
    settings = load_settings()
    found = {
        group.variable(field): getattr(group, field)
        for group in (
            settings.rabbitmq,
            settings.rpc,
            settings.database,
            settings.migrations,
            settings.celery,
            settings.idempotency,
        )
        for field in group.secrets()
    }
    assert found[name].get_secret_value() == url


def test_a_file_may_be_named_in_the_env_file(tmp_path: Path) -> None:
    (tmp_path / "secret").write_text("from-file")
    lines = f"RABBITMQ_PASSWORD=no\nRABBITMQ_PASSWORD_FILE={tmp_path / 'secret'}\n"
    (tmp_path / ".env").write_text(lines)
    assert load_settings().rabbitmq.password.get_secret_value() == "from-file"


def test_a_secret_set_twice_is_refused(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    (tmp_path / "secret").write_text("from-file")
    monkeypatch.setenv("RABBITMQ_PASSWORD", "from-environment")
    monkeypatch.setenv("RABBITMQ_PASSWORD_FILE", str(tmp_path / "secret"))
    text = message()
    assert "RABBITMQ_PASSWORD: RABBITMQ_PASSWORD_FILE is set as well" in text
    assert "from-" not in text


def test_secrets_stay_out_of_repr_and_errors(monkeypatch: pytest.MonkeyPatch) -> None:
    assert "welcome1" not in repr(Settings())
    assert ":fastapi@" not in repr(Settings())
    set_all(monkeypatch, {**PRODUCTION, "FORWARDED_ALLOW_IPS": "*"})
    with pytest.raises(ValidationError) as error:
        Settings()
    assert "x7Gk" not in str(error.value) + repr(error.value)


def test_every_variable_of_the_example_file_is_used() -> None:
    text = (ROOT / ".env.example").read_text()
    named = set(re.findall(r"^(?:# )?([A-Z][A-Z0-9_]+)=", text, re.MULTILINE))
    known = variables() | variables(ServiceSettings) | elsewhere()
    files = {f"{name}_FILE" for name in {*secrets(), *secrets(ServiceSettings)}}
    for name in named - known - files:
        if not name.startswith("OTEL_"):
            pytest.fail(f".env.example has {name}, but nothing reads it: remove it")


def elsewhere() -> set[str]:
    """The variables that other processes read: services, the gateway, the compose
    file."""
    read = [ROOT / "nginx_config.conf", *ROOT.glob("docker-compose*.yml")]
    read += ROOT.glob("deploy/compose/*.yml")
    read += [p for p in ROOT.glob("services/*/**/*.py") if "tests" not in p.parts]
    read += (ROOT / "backend" / "app").rglob("*.py")
    folders = {main.parent.name for main in ROOT.glob("services/*/main.py")}
    return {f"{name.upper()}_QUEUE_NAME" for name in folders} | set(
        re.findall(r"\b[A-Z][A-Z0-9_]{3,}\b", " ".join(map(Path.read_text, read)))
    )


def test_the_example_file_has_the_defaults(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    plain = Settings()
    (tmp_path / ".env").write_text((ROOT / ".env.example").read_text())
    assert Settings() == plain
