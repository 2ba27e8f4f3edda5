"""The variables that tell our processes about the servers."""

from pathlib import Path

from local import apps
from local.registry import registered
from local.servers.broker import ExternalRabbitMQ
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


def test_rabbitmq_of_the_user() -> None:
    broker = ExternalRabbitMQ({"RABBITMQ_HOST": "mq", "RABBITMQ_VHOST": "a/b"})
    assert broker.url() == "amqp://guest:welcome1@mq:5672/a%2Fb"
    assert broker.management_url == "http://mq:15672"


def test_a_cluster_of_the_user() -> None:
    broker = ExternalRabbitMQ({"RABBITMQ_HOST": "[::1]:5673,b"})
    assert (broker.host, broker.port, broker.hosts) == ("::1", 5673, "[::1]:5673,b")
    assert broker.url().endswith("@[::1]:5673/%2F")
    assert broker.management_url == "http://[::1]:15672"


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
