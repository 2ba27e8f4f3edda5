"""All ways to run RabbitMQ in a cluster lose no message when the network splits or a
node is new."""

import pytest
import yaml

from tests.unit.kubernetes.manifests import ROOT

FOLDER = ROOT / "rabbitmq"
EXPECTED = {
    "cluster_partition_handling": "pause_minority",
    "quorum_queue.continuous_membership_reconciliation.enabled": "true",
    "quorum_queue.continuous_membership_reconciliation.target_group_size": "3",
}


def ours() -> str:
    return (FOLDER / "rabbitmq-cluster.conf").read_text()


def operators() -> str:
    for file in sorted((FOLDER / "operator").glob("*.yaml")):
        for each in yaml.safe_load_all(file.read_text()):
            if each and each["kind"] == "RabbitmqCluster":
                found: str = each["spec"]["rabbitmq"]["additionalConfig"]
                return found
    raise LookupError("RabbitmqCluster")


def of_containers() -> str:
    return (ROOT / "deploy/ha/rabbitmq/cluster.conf").read_text()


WAYS = {"ours": ours(), "operator's": operators(), "containers'": of_containers()}


@pytest.mark.parametrize("text", WAYS.values(), ids=WAYS)
def test_the_smaller_half_pauses_and_new_nodes_hold_the_queues(text: str) -> None:
    lines = [line.partition("#")[0] for line in text.splitlines() if "=" in line]
    pairs = [line.partition("=")[::2] for line in lines]
    given = {name.strip(): value.strip() for name, value in pairs}
    assert EXPECTED.items() <= given.items()
    assert not [name for name in given if name.endswith("auto_remove")]  # it comes back
    assert 16 <= int(given.get("channel_max", 64))  # a few for each process
    assert 5 <= int(given.get("net_ticktime", 8)) <= 15


def test_nodes_find_each_other_before_they_are_ready() -> None:
    """They are ready when they have: each would wait for the others for ever."""
    manifest = yaml.safe_load_all((FOLDER / "rabbitmq-statefulset.yaml").read_text())
    (own,) = (each["spec"] for each in manifest if each["kind"] == "StatefulSet")
    services = yaml.safe_load_all((FOLDER / "rabbitmq-services.yaml").read_text())
    (nodes,) = (e for e in services if e["metadata"]["name"] == own["serviceName"])
    assert nodes["spec"]["clusterIP"] == "None"
    assert nodes["spec"]["publishNotReadyAddresses"] is True


def test_the_pods_of_the_operator_get_no_token() -> None:
    """The nodes find each other by names, without the API of Kubernetes."""
    manifest = (FOLDER / "operator/rabbitmq-cluster.yaml").read_text()
    override = yaml.safe_load(manifest)["spec"]["override"]["statefulSet"]
    pod = override["spec"]["template"]["spec"]
    assert pod["automountServiceAccountToken"] is False
    assert pod["enableServiceLinks"] is False
