"""Several of everything (docker-compose.ha.yml): any one container may be lost."""

import json
import time
import uuid
from collections.abc import Callable

import httpx2
import pytest

from tests.compose.containers import NEEDS_DATA, Compose, healthy, inspect, run
from tests.e2e.client import PROCESS, PROCESS_ASYNC, Api, wait_for

pytestmark = [NEEDS_DATA, pytest.mark.timeout(900)]

# Seconds until a request succeeds again. Patroni alone needs 20 to replace a primary
# that hangs.
AT_MOST = 120

PROCESSES = ("api", "api-celery", "api-celery-beat", "event-relay", "data-service")
SERVERS = ("rabbitmq", "postgres", "etcd", "redis", "redis-keys", "sentinel")
NUMBERED = ("etcd", "sentinel")  # which docker-compose.yml does not have


def test_each_server_has_three_nodes_that_work_together(redundant: Compose) -> None:
    running = run("docker", "exec", "rabbitmq-2", "rabbitmqctl", "-q", "cluster_status")
    for number in (1, 2, 3):
        assert running.count(f"rabbit@rabbitmq-{number}\n") >= 2, running
    members = json.loads(patroni(redundant, "list", "-f", "json"))
    roles = sorted((each["Role"], each["State"]) for each in members)
    assert roles == [("Leader", "running"), *[("Quorum Standby", "streaming")] * 2]
    for name in ("tasks", "keys"):
        said = ask_sentinel(redundant, "MASTER", name)
        known = dict(zip(said[::2], said[1::2]))
        assert known["num-slaves"] == known["num-other-sentinels"] == "2", known


@pytest.mark.parametrize("fault", ["kill", "pause"])
@pytest.mark.parametrize("kind", [*PROCESSES, *SERVERS])
def test_without_one_of_a_kind_requests_succeed(
    redundant: Compose, api: Api, kind: str, fault: str
) -> None:
    """`docker kill` leaves it dead, and `docker pause` makes it hang. Of servers, the
    one that the others follow is taken."""
    wait_for(lambda: works(api), "requests before the fault", AT_MOST)
    before = accept(api)
    victim = PRIMARY[kind](redundant) if kind in PRIMARY else some(redundant, kind)
    began = time.monotonic()
    run("docker", fault, victim)
    try:
        wait_for(lambda: works(api), f"requests without {victim}", AT_MOST)
        print(f"{fault} {inspect(victim)['Name']}: {time.monotonic() - began:.1f} s")
        # Work that only the lost one had is published again after a while.
        assert api.wait_ended(before, within=300)["task_status"] == "Success"
    finally:
        run("docker", "start" if fault == "kill" else "unpause", victim)
        # Compose starts nothing that depends on a container which is still unhealthy.
        wait_for(lambda: healthy(victim), f"{victim} after the fault", AT_MOST)
        redundant.up("--no-recreate", within=300)


def works(api: Api) -> bool:
    """Whether a request with a key succeeds, and accepted work is done at once."""
    key = {"Idempotency-Key": str(uuid.uuid4())}
    try:
        answer = api.send(PROCESS, b'{"payload": 3, "description": "square"}', **key)
        if answer.status_code != 200:
            return False
        accepted = api.post(PROCESS_ASYNC, "hello", "reverse")
        if accepted.status_code != 202:
            return False
        location = accepted.headers["Location"]
        ended = api.http.get(location, params={"wait": 5})
        return bool(ended.json().get("task_status") == "Success")
    except httpx2.TransportError:
        return False


def accept(api: Api) -> str:
    """Have a task accepted; returns its id."""
    answer = api.post(PROCESS_ASYNC, "hello", "reverse")
    assert answer.status_code == 202, answer.text
    return str(answer.json()["task_id"])


def some(compose: Compose, kind: str) -> str:
    """A container of a kind."""
    return compose.ids(f"{kind}-1" if kind in NUMBERED else kind)[0]


def patroni(compose: Compose, *words: str) -> str:
    """An answer of the first node that runs."""
    command = ("patronictl", "-c", "/etc/patroni/patroni.yml", *words)
    return compose("exec", "-T", "postgres", *command)


def database_primary(compose: Compose) -> str:
    members = json.loads(patroni(compose, "list", "-f", "json"))
    (leader,) = (each["Member"] for each in members if each["Role"] == "Leader")
    return node(compose, leader)


def ask_sentinel(compose: Compose, *words: str) -> list[str]:
    command = ("redis-cli", "-p", "26379", "sentinel", *words)
    return compose("exec", "-T", "sentinel-2", *command).split("\n")


def redis_primary(name: str) -> Callable[[Compose], str]:
    def find(compose: Compose) -> str:
        return node(compose, ask_sentinel(compose, "GET-MASTER-ADDR-BY-NAME", name)[0])

    return find


def node(compose: Compose, name: str) -> str:
    """The container of a node; docker-compose.yml has the first of each."""
    (found,) = compose.ids(name.removesuffix("-1"))
    return found


PRIMARY: dict[str, Callable[[Compose], str]] = {
    "postgres": database_primary,
    "redis": redis_primary("tasks"),
    "redis-keys": redis_primary("keys"),
}
