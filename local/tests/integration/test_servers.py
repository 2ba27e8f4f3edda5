"""Real servers: killed, paused, restarted, side by side, in a path with a space.

RabbitMQ starts in such a path in test_modes.py. The tests of the chassis kill and pause
it, and start it on its data."""

import os
import shutil
import signal
import time
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path

import psutil
import psycopg2
import pytest

from local.ports import accepts, free_port
from local.process import ProcessFailed
from local.servers import postgres as postgresql
from local.servers import privileges
from local.servers.base import Server
from local.servers.nginx import Nginx
from local.servers.postgres import PostgreSQL
from local.servers.rabbitmq import RabbitMQ
from local.servers.redis import KeysRedis, Redis
from local.state import State, leftovers


@pytest.fixture
def own(tmp_path: Path) -> Iterator[State]:
    """A private folder that is deep, with characters that shells and files expand."""
    state = State(tmp_path / "a $HOME 'of' \"mine\" %d é" / ("deep" * 25))
    state.acquire()
    tmp_path.chmod(0o700)
    yield state
    state.release(remove=True)


def write_postgres(server: PostgreSQL) -> None:
    server.execute("CREATE TABLE kept (id int)")


def read_postgres(server: PostgreSQL) -> None:
    server.execute("SELECT * FROM kept")


def write_redis(server: Redis) -> None:
    with server.connect() as client:
        client.set("kept", "1")
    time.sleep(1.1)  # Redis only promises "synced once a second"


def read_redis(server: Redis) -> None:
    with server.connect() as client:
        assert client.get("kept") == b"1"


def postgres(state: State) -> PostgreSQL:
    return PostgreSQL(state, free_port())


def redis(state: State) -> Redis:
    return Redis(state, free_port())


@pytest.mark.parametrize(
    "make, write, read",
    [
        (postgres, write_postgres, read_postgres),
        (redis, write_redis, read_redis),
    ],
    ids=["postgres", "redis"],
)
def test_each_server_survives_kill_and_pause(
    own: State,
    make: Callable[[State], Server],
    write: Callable[[Server], None],
    read: Callable[[Server], None],
) -> None:
    server = make(own)
    server.start()
    write(server)
    os.kill(server.pid, signal.SIGKILL)  # only the leader, as in a crash
    server.child.wait()
    server.start()
    read(server)
    server.pause()
    assert not server.ready()
    server.resume()
    assert server.ready()
    server.pause()
    server.stop()
    server.kill()
    assert not accepts(server.port)
    assert leftovers(own.path) == []


def test_open_sessions_do_not_delay_the_end_of_postgresql(own: State) -> None:
    server = postgres(own)
    server.start()
    with closing(psycopg2.connect(server.url().replace("+psycopg2", ""))):
        server.stop()
    # Otherwise it is killed, and the next start recovers.
    assert "database system is shut down" in own.log(server.name).read_text()


def test_old_keys_are_evicted_in_their_own_redis(
    redis_server: Redis, redis_keys: KeysRedis
) -> None:
    with redis_keys.connect() as keys, redis_server.connect() as tasks:
        assert keys.config_get("maxmemory") == {"maxmemory": str(64 * 1024 * 1024)}
        policy = "maxmemory-policy"
        assert keys.config_get(policy) == {policy: "volatile-ttl"}
        assert tasks.config_get(policy) == {policy: "noeviction"}


def test_two_of_each_run_in_parallel(own: State, tmp_path: Path) -> None:
    other = State(tmp_path / "other")
    other.acquire()
    first, second = PostgreSQL(own, free_port()), PostgreSQL(other, free_port())
    try:
        for server in (first, second):
            server.start()
        first.execute("CREATE TABLE mine (id int)")
        first.kill()
        assert second.ready()
    finally:
        other.release(remove=True)


def test_servers_listen_on_loopback_only(
    postgres: PostgreSQL, redis_server: Redis, rabbitmq: RabbitMQ, state: State
) -> None:
    addresses = {
        connection.laddr.ip
        for process in leftovers(state.path)
        for connection in process.net_connections("inet")
        if connection.status == psutil.CONN_LISTEN
    }
    assert addresses <= {"127.0.0.1", "::1"}


def test_databases_and_vhosts_are_created_and_dropped(
    postgres: PostgreSQL, rabbitmq: RabbitMQ, database_url: str, vhost: str
) -> None:
    assert database_url.startswith("postgresql+psycopg2://")
    postgres.create_database("passing")
    postgres.create_database("passing")
    postgres.drop_database("passing")
    postgres.drop_database("passing")
    rabbitmq.create_vhost("a b/c")
    assert rabbitmq.consumers("no queue", "a b/c") == 0
    with rabbitmq.connect(vhost):
        pass
    rabbitmq.delete_vhost("a b/c")
    rabbitmq.delete_vhost("a b/c")


def test_a_taken_port_is_reported(own: State, redis_server: Redis) -> None:
    with pytest.raises(ProcessFailed, match="already in use"):
        Redis(own, redis_server.port).start()


def test_data_of_another_name_is_told_at_once(
    own: State, monkeypatch: pytest.MonkeyPatch
) -> None:
    server = postgres(own)
    server.start()
    server.stop()
    monkeypatch.setattr(postgresql, "USER", "renamed")
    with pytest.raises(ProcessFailed, match="(?s)another name.*make clean"):
        server.start()
    assert not server.alive


def test_nginx_reloads_and_restarts(own: State, tmp_path: Path) -> None:
    template = tmp_path / "template.conf"
    template.write_text("server { listen ${NGINX_PORT}; return 204; }")
    nginx = Nginx(own, free_port(), [1], template)
    nginx.start()
    nginx.reload()
    assert nginx.ready()
    os.kill(nginx.pid, signal.SIGKILL)  # its workers survive and hold the port
    nginx.child.wait()
    nginx.start()
    assert nginx.ready()
    nginx.stop()
    assert leftovers(own.path) == []


@pytest.mark.skipif(os.geteuid() != 0, reason="only root has this fallback")
def test_root_without_user_namespaces(
    own: State, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(privileges, "_works", lambda _: False)
    server = PostgreSQL(own, free_port(), fsync=False)
    home = privileges.private_folder(server.folder)
    try:
        server.start()
        assert psutil.Process(server.pid).uids().real != 0
        assert str(home) in capsys.readouterr().err
        write_postgres(server)
        server.kill()
        server.start()
        read_postgres(server)
        server.stop()
    finally:
        server.kill()
        shutil.rmtree(home)
