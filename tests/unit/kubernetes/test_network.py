"""Network policies open what is needed, and no more."""

from collections.abc import Iterator
from ipaddress import ip_network

import pytest

from tests.unit.kubernetes.manifests import (
    ALL,
    SERVICES,
    Object,
    Workload,
    of_kind,
    selects,
    workload,
    workloads,
)

# Who talks to whom, and on which ports; nobody else does.
FLOWS = {
    ("nginx", "fastapi-api"): {8000},
    ("fastapi-api", "rabbitmq"): {5672, 15672},
    ("fastapi-api", "redis"): {6379},
    ("fastapi-api", "redis-keys"): {6379},
    ("fastapi-api", "postgres"): {5432},
    ("fastapi-api", "otel-collector"): {4317, 4318},
    ("fastapi-celery-worker", "rabbitmq"): {5672},
    ("fastapi-celery-worker", "redis"): {6379},
    ("fastapi-celery-worker", "postgres"): {5432},
    ("fastapi-celery-worker", "otel-collector"): {4317, 4318},
    ("fastapi-celery-beat", "rabbitmq"): {15672},
    ("fastapi-celery-beat", "redis"): {6379},
    ("fastapi-celery-beat", "postgres"): {5432},
    ("fastapi-celery-beat", "otel-collector"): {4317, 4318},
    ("fastapi-event-relay", "rabbitmq"): {5672},
    ("fastapi-event-relay", "postgres"): {5432},
    ("fastapi-event-relay", "otel-collector"): {4317, 4318},
    ("fastapi-migrations", "postgres"): {5432},
    ("rabbitmq", "rabbitmq"): {4369, 5672, 25672, 35672},
}
for _name in SERVICES:
    FLOWS |= {(_name, "rabbitmq"): {5672}, (_name, "otel-collector"): {4317, 4318}}
    if "EVENTS_DATABASE_URL_FILE" in workload(_name).environment():
        FLOWS |= {(_name, "postgres"): {5432}}
PORTS = {port for ports in FLOWS.values() for port in ports} | {22, 443, 8080, 53}


def test_network_policies_open_what_is_needed_and_no_more() -> None:
    found = [each for each in workloads() if each.overlay == "development"]
    policies = [each["spec"] for each in of_kind("development", "NetworkPolicy")]
    ports = PORTS | {port for policy in policies for port in named(policy)}
    for source in found:
        for target in found:
            expected = FLOWS.get((source.name, target.name), set())
            # Each side by itself: one that is too wide waits for a slip of the other.
            for way, own, other in (
                ("egress", source, target),
                ("ingress", target, source),
            ):
                found_ports = {
                    port for port in ports if _passes(policies, way, own, other, port)
                }
                if way == "egress" and source.name == "otel-collector":
                    assert found_ports == {4317}  # SIGNOZ_ENDPOINT, wherever it is
                    continue
                assert found_ports == expected, f"{way}: {source.name} to {target.name}"


def named(policy: Object) -> Iterator[int]:
    """Every port that a policy names; ends of ranges are for tools of RabbitMQ."""
    for rule in [*policy.get("ingress", []), *policy.get("egress", [])]:
        yield from (each["port"] for each in rule["ports"])


def test_a_service_with_a_schema_reaches_the_database_of_each_kind() -> None:
    """Whichever it is: the manifests have no such service yet."""
    own = {"fastapi-starter/database": "own-schema"}
    for overlay, labels in (
        ("development", {"app.kubernetes.io/name": "postgres"}),
        ("servers", {"cnpg.io/cluster": "postgres"}),
    ):
        policies = [each["spec"] for each in of_kind(overlay, "NetworkPolicy")]
        opened = [
            rule
            for policy in policies
            if selects(policy["podSelector"], labels)
            for rule in policy.get("ingress", [])
            if any(
                selects(p["podSelector"], own)
                for p in rule["from"]
                if "podSelector" in p
            )
        ]
        assert [port["port"] for rule in opened for port in rule["ports"]] == [5432]


SERVERS = ("postgres", "redis", "redis-keys")


def test_managed_servers_are_reached_by_those_that_reached_ours() -> None:
    """In production they are outside of the cluster: policies name their addresses."""
    outside = [
        each["spec"]
        for each in of_kind("production", "NetworkPolicy")
        if each["metadata"]["name"].startswith("external-")
    ]
    for (source, target), ports in FLOWS.items():
        if target in SERVERS:
            reached = addresses(outside, workload(source).labels)
            assert ports <= reached, f"{source} to {target}"
    # Of services, those that receive events, by the label that opens our PostgreSQL.
    (own,) = (
        each["spec"]["podSelector"]["matchLabels"]
        for each in of_kind("production", "NetworkPolicy")
        if each["metadata"]["name"] == "services-database"
    )
    assert addresses(outside, own) == {5432}


def test_managed_servers_have_private_addresses() -> None:
    for policy in of_kind("production", "NetworkPolicy"):
        if policy["metadata"]["name"].startswith("external-"):
            for rule in policy["spec"]["egress"]:
                for peer in rule["to"]:
                    network = ip_network(peer["ipBlock"]["cidr"])
                    assert network.is_private, f"{network} is the internet"


def addresses(policies: list[Object], labels: dict[str, str]) -> set[int]:
    """The ports of addresses that pods with these labels may reach."""
    return {
        each["port"]
        for policy in policies
        if selects(policy["podSelector"], labels)
        for rule in policy["egress"]
        if all("ipBlock" in peer for peer in rule["to"])
        for each in rule["ports"]
    }


# Who comes from outside of the namespace, and to which ports; DNS is for all.
OUTSIDE = {
    ("nginx", "ingress", "anybody"): {8080},
    ("nginx", "ingress", "addresses"): {8080},
    ("rabbitmq", "ingress", "keda"): {15672},
    ("rabbitmq", "ingress", "monitoring"): {15692},
    ("redis", "ingress", "keda"): {6379},
    ("otel-collector", "egress", "anybody"): {4317},  # SIGNOZ_ENDPOINT
    ("fastapi-celery-worker", "egress", "addresses"): {443},  # webhooks
    ("dns", "egress", "kube-system"): {53},
    ("dns", "egress", "addresses"): {53},
}


# Beyond that, by overlay. In production the three servers are not ours to guard.
MANAGED: dict[tuple[str, str, str], set[int]] = {
    ("external-servers", "egress", "addresses"): {5432, 6379},
    ("external-database", "egress", "addresses"): {5432},
}
OPERATED = {("rabbitmq", "ingress", "rabbitmq-system"): {15672}}  # it asks each node
MORE: dict[str, dict[tuple[str, str, str], set[int]]] = {
    "operator": OPERATED,
    "operator-openshift": OPERATED,
    "servers": {
        # CloudNativePG asks each node for its state, and connects to it.
        ("postgres-nodes", "ingress", "cnpg-system"): {5432, 8000},
        # Each node asks Kubernetes who the primary is.
        ("postgres-nodes", "egress", "anybody"): {443, 6443},
        # KEDA asks a Sentinel for the primary, then the primary for its queues.
        ("redis-nodes", "ingress", "keda"): {6379, 6380, 26379},
    },
}


@pytest.mark.parametrize("overlay", ALL)
def test_what_crosses_the_border_of_the_namespace_is_named(overlay: str) -> None:
    found: dict[tuple[str, str, str], set[int]] = {}
    for policy in of_kind(overlay, "NetworkPolicy"):
        for way, end in (("ingress", "from"), ("egress", "to")):
            for rule in policy["spec"].get(way, []):
                for place in map(_outside, rule.get(end, [{"namespaceSelector": {}}])):
                    key = (policy["metadata"]["name"], way, place)
                    ports = {each["port"] for each in rule["ports"]}
                    if place:
                        found[key] = found.get(key, set()) | ports
    expected = OUTSIDE | MORE.get(overlay, {})
    if overlay != "development":
        expected = expected | MANAGED
        del expected["redis", "ingress", "keda"]
    assert found == expected


def test_what_takes_all_addresses_takes_those_of_both_families() -> None:
    every = {"0.0.0.0/0", "::/0"}
    for policy in of_kind("development", "NetworkPolicy"):
        for rule in [
            *policy["spec"].get("ingress", []),
            *policy["spec"].get("egress", []),
        ]:
            peers = rule.get("from") or rule.get("to") or []
            taken = {peer["ipBlock"]["cidr"] for peer in peers if "ipBlock" in peer}
            assert taken & every in (set(), every), policy["metadata"]["name"]


def _outside(peer: Object) -> str:
    """A namespace, or all of them, or addresses; nothing for our own pods."""
    if "ipBlock" in peer:
        return "addresses"
    if "namespaceSelector" not in peer:
        return ""
    labels = peer["namespaceSelector"].get("matchLabels", {})
    return str(labels.get("kubernetes.io/metadata.name", "anybody"))


def _passes(
    policies: list[Object], way: str, own: Workload, other: Workload, port: int
) -> bool:
    """Whether a policy of one side lets a connection through."""
    end = "to" if way == "egress" else "from"
    rules = [
        rule
        for policy in policies
        if selects(policy["podSelector"], own.labels)
        for rule in policy.get(way, [])
    ]
    return any(_covers(rule, port) and _names(rule.get(end), other) for rule in rules)


def _covers(rule: Object, port: int) -> bool:
    return any(
        each["port"] <= port <= each.get("endPort", each["port"])
        for each in rule["ports"]
    )


def _names(peers: list[Object] | None, other: Workload) -> bool:
    """Peers of our own namespace; None means everybody."""
    if peers is None:
        return True
    return any(
        "namespaceSelector" not in peer
        and "podSelector" in peer
        and selects(peer["podSelector"], other.labels)
        for peer in peers
    )
