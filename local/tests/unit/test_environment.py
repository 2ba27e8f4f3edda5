"""The variables that tell our processes about the servers."""

from dataclasses import replace
from pathlib import Path

import pytest

from local import apps
from local.registry import registered
from local.run import environment
from local.servers.external import ExternalRabbitMQ
from local.servers.postgres import DATABASE, PASSWORD, USER, WORKER, PostgreSQL
from local.servers.rabbitmq import RabbitMQ
from local.servers.redis import KeysRedis, Redis
from local.stack import Servers
from local.state import State

DATABASE_4 = f"{PASSWORD}@127.0.0.1:4/{DATABASE}"


def servers(tmp_path: Path, *, rabbitmq: bool) -> Servers:
    state = State(tmp_path)
    (tmp_path / "logs").mkdir(exist_ok=True)
    broker = RabbitMQ(state, 5, 15) if rabbitmq else None
    return Servers(PostgreSQL(state, 4), Redis(state, 6), KeysRedis(state, 7), broker)


def test_with_rabbitmq(tmp_path: Path) -> None:
    env = servers(tmp_path, rabbitmq=True).environment()
    assert env == {
        "ENVIRONMENT": "development",
        "PYTHONUNBUFFERED": "1",
        "DATABASE_URL": f"postgresql+psycopg2://{WORKER}:{DATABASE_4}",
        "ASYNC_DATABASE_URL": f"postgresql+asyncpg://{WORKER}:{DATABASE_4}",
        "MIGRATIONS_DATABASE_URL": f"postgresql+psycopg2://{USER}:{DATABASE_4}",
        "CELERY_BROKER_URL": "redis://127.0.0.1:6/0",
        "CELERY_RESULT_BACKEND": "redis://127.0.0.1:6/0",
        "IDEMPOTENCY_REDIS_URL": "redis://127.0.0.1:7/0",
        "RABBITMQ_HOST": "127.0.0.1",
        "RABBITMQ_PORT": "5",
        "RABBITMQ_USER": "guest",
        "RABBITMQ_PASSWORD": "welcome1",
        "RABBITMQ_VHOST": "/",
        "RABBITMQ_MANAGEMENT_URL": "http://127.0.0.1:15",
    }


def test_for_a_database_and_vhost_of_a_test(tmp_path: Path) -> None:
    env = servers(tmp_path, rabbitmq=True).environment(database="d", vhost="v")
    assert env["DATABASE_URL"].endswith("/d")
    assert env["ASYNC_DATABASE_URL"].endswith("/d")
    assert env["RABBITMQ_VHOST"] == "v"


def test_without_rabbitmq_calls_go_over_redis(tmp_path: Path) -> None:
    env = servers(tmp_path, rabbitmq=False).environment()
    assert env["RPC_BROKER_URL"] == "redis://127.0.0.1:6/1"
    assert not [name for name in env if name.startswith("RABBITMQ_")]


def external(monkeypatch: pytest.MonkeyPatch, **variables: str) -> ExternalRabbitMQ:
    for name, value in variables.items():
        monkeypatch.setenv(name, value)
    return ExternalRabbitMQ()


def test_rabbitmq_of_the_user(monkeypatch: pytest.MonkeyPatch) -> None:
    broker = external(monkeypatch, RABBITMQ_HOST="mq", RABBITMQ_VHOST="a/b")
    assert broker.url() == "amqp://guest:welcome1@mq:5672/a%2Fb"
    assert broker.management_url == "http://mq:15672"


def test_a_cluster_of_the_user(monkeypatch: pytest.MonkeyPatch) -> None:
    broker = external(monkeypatch, RABBITMQ_HOST="[::1]:5673,b")
    assert (broker.host, broker.port) == ("::1", 5673)
    assert broker.hosts == "[::1]:5673,b:5672"
    assert broker.url().endswith("@[::1]:5673,b:5672/%2F")
    assert broker.management_url == "http://[::1]:15672"


def test_a_url_of_the_user(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The processes inherit it, with its options."""
    url = "amqps://me:p%2Fq@a,b:5673/shop%2Fone?verify=verify_none"
    broker = external(monkeypatch, RPC_BROKER_URL=url, RABBITMQ_HOST="elsewhere")
    assert broker.url() == "amqps://me:p%2Fq@a:5671,b:5673/shop%2Fone"
    found = replace(servers(tmp_path, rabbitmq=True), rabbitmq=broker).environment()
    assert "RPC_BROKER_URL" not in found
    assert found["RABBITMQ_PASSWORD"] == "p/q"


@pytest.mark.parametrize("is_own", [True, False])
def test_a_url_of_env_for_containers_is_not_used(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, is_own: bool
) -> None:
    """It would win over RABBITMQ_HOST."""
    (tmp_path / ".env").write_text("RPC_BROKER_URL=amqp://rabbitmq\n")
    monkeypatch.setenv("ENV_FILE", str(tmp_path / ".env"))
    given = servers(tmp_path, rabbitmq=True)
    if not is_own:
        other = external(monkeypatch, RABBITMQ_HOST="mq")
        given = replace(given, rabbitmq=other)
    broker = given.rabbitmq
    assert broker and not broker.is_by_url
    assert given.environment()["RPC_BROKER_URL"] == broker.url()


def test_each_service_has_a_queue_of_its_own() -> None:
    env = {"QUEUE_NAME": "another's", "PRICING_QUEUE_NAME": "other"}
    queues = {"data": "acme_data_queue", "pricing": "acme_pricing_queue"}

    def told(folder: str, env: dict[str, str]) -> str:
        path = Path("services") / folder
        return apps.service_environment(path, env, queues)["QUEUE_NAME"]

    assert told("dataservice", {}) == told("dataservice", env) == "acme_data_queue"
    assert told("dataservice", {"DATA_QUEUE_NAME": "d"}) == "d"
    assert told("pricing", env) == "other"


def test_the_registry_of_the_backend_is_read() -> None:
    folders = {folder.name.removesuffix("service") for folder in apps.service_folders()}
    assert set(registered()) == folders


def test_the_user_decides_on_all_but_what_the_stack_needs(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.delenv("LOG_FORMAT", raising=False)
    monkeypatch.setattr("local.settings.from_file", dict)
    monkeypatch.setenv("RPC_TIMEOUT_SECONDS", "7")
    monkeypatch.setenv("DATABASE_URL", "of the user")
    found = environment({"DATABASE_URL": "of the stack"})
    assert found["LOG_FORMAT"] == "text"  # for people
    assert found["RPC_TIMEOUT_SECONDS"] == "7"
    assert found["DATABASE_URL"] == "of the stack"
    monkeypatch.setenv("LOG_FORMAT", "json")
    assert environment({})["LOG_FORMAT"] == "json"
