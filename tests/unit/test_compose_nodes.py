"""The nodes of docker-compose.ha.yml and the servers of docker-compose.tls.yml reach
and tell what they should."""

from typing import Any

import yaml

from local.apps import ROOT


def services(file: str) -> dict[str, Any]:
    loaded: dict[str, Any] = yaml.safe_load((ROOT / file).read_text())["services"]
    return loaded


def test_every_postgresql_reaches_those_who_elect_its_primary() -> None:
    nodes = services("docker-compose.ha.yml")
    members = {name: each for name, each in nodes.items() if name.startswith("etcd-")}
    assert len(members) == 3
    network = {name for each in members.values() for name in each["networks"]}
    assert len(network) == 1
    for name in ("postgres", "postgres-2", "postgres-3"):
        assert network <= set(nodes[name]["networks"]), name


def test_sentinels_watch_the_first_node_of_each_redis() -> None:
    nodes = services("docker-compose.ha.yml")
    for number in (1, 2, 3):
        masters = nodes[f"sentinel-{number}"]["environment"]["MASTERS"].split()
        assert masters == ["tasks=redis-1:6379", "keys=redis-keys-1:6379"]


def test_with_tls_rabbitmq_is_healthy_when_both_its_servers_listen() -> None:
    """Beat reads the queues over HTTP."""
    check = services("docker-compose.tls.yml")["rabbitmq"]["healthcheck"]["test"]
    assert "/5672" in check[-1] and "/15672" in check[-1]
