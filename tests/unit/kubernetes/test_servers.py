"""PostgreSQL and Redis with failover: the component of each, and who reaches them."""

import re

import yaml

from tests.unit.kubernetes.manifests import (
    ROOT,
    Object,
    build,
    of_kind,
    one,
    selects,
    workload,
)

NODES = workload("redis-nodes", "servers")
REDIS_CLIENTS = ("fastapi-api", "fastapi-celery-worker", "fastapi-celery-beat")
DATABASE_CLIENTS = (*REDIS_CLIENTS, "fastapi-event-relay", "fastapi-migrations")


def variables(container: str) -> dict[str, str]:
    (found,) = (each for each in NODES.containers if each["name"] == container)
    return {each["name"]: each.get("value", "") for each in found["env"]}


def test_the_servers_can_be_applied_alone() -> None:
    own = build(ROOT / "deploy/overlays/servers")
    assert all(each["metadata"]["namespace"] == "fastapi-starter" for each in own)
    assert {"Cluster", "StatefulSet"} <= {each["kind"] for each in own}


def test_each_node_has_another_machine_and_a_zone_if_there_are_some() -> None:
    (term,) = NODES.pod["affinity"]["podAntiAffinity"][
        "requiredDuringSchedulingIgnoredDuringExecution"
    ]
    assert term["topologyKey"] == "kubernetes.io/hostname"
    assert selects(term["labelSelector"], NODES.labels)
    spec = one("servers", "Cluster", "postgres")["spec"]
    assert spec["affinity"]["podAntiAffinityType"] == "required"
    # CloudNativePG gives its pods this label, with the name of the Cluster.
    for spread, labels in (
        (NODES.pod, NODES.labels),
        (spec, {"cnpg.io/cluster": "postgres"}),
    ):
        (zones,) = spread["topologySpreadConstraints"]
        assert zones["topologyKey"] == "topology.kubernetes.io/zone"
        assert selects(zones["labelSelector"], labels)
        # With one zone, nodes must start all the same.
        assert (zones["maxSkew"], zones["whenUnsatisfiable"]) == (1, "ScheduleAnyway")
    assert NODES.object["spec"]["replicas"] == spec["instances"] == 3


def test_no_commit_is_lost_with_one_node() -> None:
    """The names are those of CloudNativePG's API reference, 1.25."""
    spec = one("servers", "Cluster", "postgres")["spec"]
    synchronous = {"method": "any", "number": 1, "dataDurability": "required"}
    assert spec["postgresql"]["synchronous"] == synchronous
    assert spec["bootstrap"]["initdb"]["owner"] == spec["managed"]["roles"][0]["name"]


def test_its_database_is_the_one_of_the_other_postgresql() -> None:
    made = one("servers", "Cluster", "postgres")["spec"]["bootstrap"]["initdb"]
    other = workload("postgres", "development").environment()
    assert made["database"] == other["POSTGRES_DB"]
    assert made["owner"] == other["POSTGRES_USER"]


def test_clients_may_do_what_they_may_elsewhere() -> None:
    script = (ROOT / "deploy/secrets.sh").read_text()
    rules = dict(re.findall(r'^(\w+)_rules="(.+)"$', script, re.MULTILINE))
    assert variables("redis-nodes")["RULES"] == rules["tasks"]
    assert variables("redis-keys")["RULES"] == rules["keys"]


def test_the_nodes_know_each_other_by_the_names_of_their_service() -> None:
    service = one("servers", "Service", "redis-nodes")["spec"]
    assert service["publishNotReadyAddresses"] and service["clusterIP"] == "None"
    assert NODES.object["spec"]["serviceName"] == "redis-nodes"
    ports = {each["name"]: each["port"] for each in service["ports"]}
    first = "redis-nodes-0.redis-nodes.$(NAMESPACE).svc"
    for container in ("redis-nodes", "redis-keys"):
        assert variables(container)["FIRST"] == first
    assert variables("sentinel")["MASTERS"].split() == [
        f"{name}={first}:{ports[name]}" for name in ("tasks", "keys")
    ]
    assert variables("redis-keys")["PORT"] == str(ports["keys"])
    kinds = {each["name"]: each["args"][2] for each in NODES.containers}
    assert kinds.pop("sentinel") == "sentinel"
    assert set(kinds.values()) == {"server"}
    folders = {variables(each["name"])["DATA"] for each in NODES.containers}
    assert len(folders) == 3
    config = one("servers", "ConfigMap", "redis-nodes")["data"]
    assert set(config) == {"node.sh", "redis.conf", "sentinel.conf", "master.conf"}


def policies(way: str, labels: dict[str, str]) -> list[Object]:
    found = (each["spec"] for each in of_kind("servers", "NetworkPolicy"))
    return [
        rule
        for policy in found
        if selects(policy["podSelector"], labels)
        for rule in policy.get(way, [])
    ]


def reached(way: str, own: dict[str, str], other: dict[str, str]) -> set[int]:
    """The ports that policies open to pods with these labels, by name."""
    end = "from" if way == "ingress" else "to"
    return {
        port["port"]
        for rule in policies(way, own)
        for peer in rule.get(end, [])
        if "podSelector" in peer and selects(peer["podSelector"], other)
        for port in rule["ports"]
    }


def test_who_reaches_the_servers() -> None:
    redis, database = NODES.labels, {"cnpg.io/cluster": "postgres"}
    for name in (*DATABASE_CLIENTS, "nginx", "data-service"):
        own = {"app.kubernetes.io/name": name}
        for server, ports, clients in (
            (redis, {6379, 6380, 26379}, REDIS_CLIENTS),
            (database, {5432}, DATABASE_CLIENTS),
        ):
            expected = ports if name in clients else set()
            assert reached("ingress", server, own) == expected, name
            assert reached("egress", own, server) == expected, name
    assert reached("egress", redis, redis) == {6379, 6380, 26379}
    assert reached("ingress", database, database) == {5432, 8000}
    assert not reached("egress", redis, database)


def test_the_documents_name_what_the_manifests_have() -> None:
    text = (ROOT / "docs/DEPLOYMENT.md").read_text()
    assert ";sentinel://redis-nodes-%s.redis-nodes.fastapi-starter.svc:26379" in text
    overlay = yaml.safe_load(
        (ROOT / "deploy/overlays/servers/kustomization.yaml").read_text()
    )
    for component in overlay["components"]:
        assert f"`{component.replace('../../', 'deploy/')}`" in text
