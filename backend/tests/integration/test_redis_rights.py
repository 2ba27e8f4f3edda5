"""What the users of Redis may do: as docker-compose.yml and kubectl-setup.sh make them.

test_redis_kinds.py runs tasks and keys as the user of tasks.
"""

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from redis import Redis as Client
from redis.exceptions import NoPermissionError

from app.core.keys import Answer, Claim
from app.infrastructure.redis.key_store import KeyStore
from local.servers.redis import Redis
from tests.integration.redis_kinds import rules

ROOT = Path(__file__).parents[3]
# As KEDA's scaler measures a queue.
LENGTH = """
local kind = redis.call("type", KEYS[1]).ok
local command = {list = "llen", none = "llen"}
return redis.call(command[kind], KEYS[1])
"""
KEDA = "~* -@all +@connection +eval +evalsha +type +llen"


@pytest.fixture
def admin(redis_server: Redis) -> Iterator[Any]:
    with redis_server.connect() as client:
        client.flushall()
        yield client
        client.acl_deluser("limited")


def limited(admin: Any, server: Redis, allowed: list[str]) -> Any:
    admin.execute_command("ACL", "SETUSER", "limited", "reset", "on", ">p", *allowed)
    return Client(port=server.port, username="limited", password="p")


async def test_the_user_of_keys(admin: Any, redis_server: Redis) -> None:
    client = limited(admin, redis_server, rules("redis-keys"))
    url = redis_server.url().replace("://", "://limited:p@")
    store = KeyStore(url, lease=5, keep=5, key_prefix="shop:")
    claim = await store.claim("key", "f")
    assert isinstance(claim, Claim)
    assert await store.complete(claim, Answer(200, [], b"", False))
    await store.release(claim)
    await store.check()
    await store.close()
    for command in ("FLUSHALL", "CONFIG GET *", "KEYS *", "ACL LIST", "GET default"):
        with pytest.raises(NoPermissionError):
            client.execute_command(*command.split())
    client.close()


@pytest.mark.promise("docs/SECURITY.md", "configure, flush or list the server")
def test_the_user_of_tasks_administers_nothing(admin: Any, redis_server: Redis) -> None:
    client = limited(admin, redis_server, rules("redis"))
    client.lpush("default", "task")
    for command in ("FLUSHALL", "CONFIG GET *", "KEYS *", "ACL LIST", "CLIENT LIST"):
        with pytest.raises(NoPermissionError):
            client.execute_command(*command.split())
    client.close()


def test_a_user_for_keda_reads_lengths_alone(admin: Any, redis_server: Redis) -> None:
    admin.lpush("default", "task")
    client = limited(admin, redis_server, KEDA.split())
    assert client.eval(LENGTH, 1, "default") == 1
    for command in ("LRANGE default 0 1", "DEL default", "LPUSH default x"):
        with pytest.raises(NoPermissionError):
            client.execute_command(*command.split())
    client.close()
    assert KEDA in (ROOT / "docs/SECURITY.md").read_text()


@pytest.mark.parametrize(
    ("service", "name"), [("redis", "tasks_rules"), ("redis-keys", "keys_rules")]
)
def test_the_cluster_has_the_same_users(service: str, name: str) -> None:
    script = (ROOT / "deploy/secrets.sh").read_text()
    (found,) = re.findall(rf'^{name}="(.*)"$', script, re.MULTILINE)
    assert found.split() == rules(service)
