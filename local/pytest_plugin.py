"""Fixtures with real servers, for every test suite of the project.

Load it in a conftest: `pytest_plugins = ["local.pytest_plugin"]`. A server starts
when the first test asks for it, on a free port, with its data in `.local/test-...`,
and is gone after the session. All fixtures last for the session:

* `postgres`, `redis_server`, `redis_keys`, `rabbitmq`: the servers
* `database_url`, `vhost`: an empty database and virtual host of this session's own
* `stack`: the whole system behind nginx (`Stack`: `.url`, `.api_url`, `.worker`, ...)
* `state`: the folder, for tests that start servers or processes of their own
"""

import fcntl
import os
import secrets
import shutil
from collections.abc import Iterator

import pytest

from local import install
from local.ports import free_port
from local.servers.postgres import PostgreSQL
from local.servers.rabbitmq import RabbitMQ, find_script
from local.servers.redis import KeysRedis, Redis
from local.stack import Servers, Stack, migrate
from local.state import FAILED, LOCAL, State, remove_abandoned


@pytest.fixture(scope="session")
def state(request: pytest.FixtureRequest) -> Iterator[State]:
    """A folder for this session; leftovers of crashed sessions are removed first, and
    the logs of one with a failed test are kept in `.local/failed`."""
    state = State(LOCAL / f"test-{os.getpid()}-{secrets.token_hex(3)}")
    LOCAL.mkdir(exist_ok=True)
    with (LOCAL / "starting").open("a") as one_at_a_time:
        # A folder that another session has created and not yet locked looks abandoned.
        fcntl.flock(one_at_a_time, fcntl.LOCK_EX)
        remove_abandoned("test-")
        state.acquire()
    yield state
    if request.session.testsfailed:
        shutil.copytree(state.path / "logs", FAILED / state.path.name)
    state.release(remove=True)


@pytest.fixture(scope="session")
def postgres(state: State) -> Iterator[PostgreSQL]:
    """PostgreSQL without fsync."""
    server = PostgreSQL(state, free_port(), fsync=False)
    server.start()
    yield server
    server.kill()


@pytest.fixture(scope="session")
def redis_server(state: State) -> Iterator[Redis]:
    """Redis."""
    server = Redis(state, free_port())
    server.start()
    yield server
    server.kill()


@pytest.fixture(scope="session")
def redis_keys(state: State) -> Iterator[KeysRedis]:
    """The Redis of idempotency keys."""
    server = KeysRedis(state, free_port())
    server.start()
    yield server
    server.kill()


@pytest.fixture(scope="session")
def launched_rabbitmq(state: State) -> Iterator[RabbitMQ | None]:
    """RabbitMQ while it still starts, so that other servers start meanwhile; its
    figures come soon."""
    install.install_missing(print)
    if find_script() is None:
        yield None
        return
    server = RabbitMQ(state, free_port(), free_port(), has_fresh_figures=True)
    server.launch()
    yield server
    server.kill()


@pytest.fixture(scope="session")
def rabbitmq(launched_rabbitmq: RabbitMQ | None) -> RabbitMQ:
    """RabbitMQ; tests that need it are skipped where it cannot be installed."""
    if launched_rabbitmq is None:
        pytest.skip("rabbitmq-server is missing and apt-get cannot install it")
    launched_rabbitmq.wait_ready()
    return launched_rabbitmq


@pytest.fixture(scope="session")
def database_url(postgres: PostgreSQL) -> Iterator[str]:
    """The SQLAlchemy URL of an empty database."""
    name = f"test_{secrets.token_hex(4)}"
    yield postgres.create_database(name)
    postgres.drop_database(name)


@pytest.fixture(scope="session")
def vhost(rabbitmq: RabbitMQ) -> Iterator[str]:
    """The name of an empty virtual host."""
    name = rabbitmq.create_vhost(f"test-{secrets.token_hex(4)}")
    yield name
    rabbitmq.delete_vhost(name)


@pytest.fixture(scope="session")
def stack(
    state: State,
    launched_rabbitmq: RabbitMQ | None,
    postgres: PostgreSQL,
    redis_server: Redis,
    redis_keys: KeysRedis,
) -> Iterator[Stack]:
    """The whole system, migrated and ready; without RabbitMQ, RPC uses Redis."""
    if launched_rabbitmq is not None:
        launched_rabbitmq.wait_ready()
    servers = Servers(postgres, redis_server, redis_keys, launched_rabbitmq)
    stack = Stack.create(
        state, servers, api_ports=[free_port()], nginx_port=free_port()
    )
    migrate(stack.env)
    try:
        stack.start()
        yield stack
    finally:
        stack.stop()
