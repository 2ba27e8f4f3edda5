"""Every object is what Kubernetes, KEDA, the Gateway API and the Operator take."""

import json
import re
from pathlib import Path

import kubernetes_validate
import pytest
import yaml

from tests.unit.kubernetes.cluster import Cluster, ok
from tests.unit.kubernetes.manifests import (
    ALL,
    ROOT,
    SERVICES,
    Object,
    of_kind,
    one,
    rendered,
    workloads,
)

# The oldest that we support, and the newest that kubernetes-validate knows.
VERSIONS = ("1.31", "1.37")

# kubernetes-validate has no schema of these; the tests below say what they hold.
CUSTOM = {
    "keda.sh/v1alpha1": {"ScaledObject", "TriggerAuthentication"},
    "gateway.networking.k8s.io/v1": {"HTTPRoute"},
    "rabbitmq.com/v1beta1": {"RabbitmqCluster"},
    "cert-manager.io/v1": {"Certificate", "Issuer"},
    "postgresql.cnpg.io/v1": {"Cluster"},
}


def is_custom(each: Object) -> bool:
    return each["kind"] in CUSTOM.get(each["apiVersion"], ())


@pytest.mark.parametrize("version", VERSIONS)
def test_every_object_is_valid_in_strict_mode(version: str) -> None:
    # Most are the same in all overlays.
    different = {json.dumps(each): each for name in ALL for each in rendered(name)}
    for each in different.values():
        if not is_custom(each):
            kubernetes_validate.validate(each, version, strict=True)


def test_strict_mode_refuses_unknown_fields() -> None:
    service = {"apiVersion": "v1", "kind": "Service", "spec": {"nodePorts": []}}
    with pytest.raises(kubernetes_validate.ValidationError):
        kubernetes_validate.validate(service, VERSIONS[0], strict=True)


@pytest.mark.parametrize("name", ALL)
def test_objects_are_unique_and_ours(name: str) -> None:
    keys = [(each["kind"], each["metadata"]["name"]) for each in rendered(name)]
    assert len(keys) == len(set(keys))
    for each in rendered(name):
        metadata = each["metadata"]
        assert metadata["namespace"] == "fastapi-starter", metadata["name"]
        assert metadata["labels"]["app.kubernetes.io/part-of"] == "fastapi-starter"


def test_no_secret_is_in_the_repository() -> None:
    assert not [each for name in ALL for each in of_kind(name, "Secret")]


def test_every_manifest_is_used_by_an_overlay() -> None:
    taken = {
        (each["kind"], each["metadata"]["name"])
        for name in ALL
        for each in rendered(name)
    }
    folders = ("backend", "services", "rabbitmq", "observability", "deploy")
    files = [file for folder in folders for file in (ROOT / folder).rglob("*.yaml")]
    for file in files:
        if file.parent.parent.name == "gitops":  # examples, for other tools
            continue
        if file.name == "kustomization.yaml" or file.name.startswith("otel-collector-"):
            continue
        if file.parent == ROOT / "deploy/rights":  # for people, before the scripts
            continue
        if file.parent == ROOT / "deploy/components/backup":  # see test_backup.py
            continue
        for each in yaml.safe_load_all(file.read_text()):
            if isinstance(each, list):  # operations on others
                continue
            if each["metadata"]["name"] == "any":  # a patch of others
                continue
            assert (each["kind"], each["metadata"]["name"]) in taken, file


# What KEDA's documentation has for the fields of a ScaledObject and of its triggers.
# KEDA warns of a `pollingInterval`: it has no effect while replicas must run.
SCALED_OBJECT = {
    *("scaleTargetRef", "minReplicaCount", "maxReplicaCount"),
    *("fallback", "advanced", "triggers"),
}
TRIGGERS = {
    "rabbitmq": {"protocol", "queueName", "vhostName", "mode", "value"},
    "redis": {"listName", "listLength", "databaseIndex"},
    "cpu": {"value"},
}


# What KEDA 2.20 reads from a TriggerAuthentication for these triggers: the fields of
# its redis_scaler.go and rabbitmq_scaler.go. It ignores any other name in silence.
PARAMETERS = {
    "rabbitmq": {
        *("host", "username", "password", "protocol", "vhostName"),
        *("tls", "ca", "cert", "key", "keyPassword"),
    },
    "redis": {
        *("address", "addresses", "host", "hosts", "port", "ports"),
        *("username", "password", "tls", "ca", "cert", "key", "keyPassword"),
        *("sentinelMaster", "sentinelUsername", "sentinelPassword"),
    },
}


def test_trigger_authentications_have_parameters_that_keda_reads() -> None:
    found = of_kind("production", "TriggerAuthentication")
    assert {each["metadata"]["name"] for each in found} == set(PARAMETERS)
    for each in found:
        given = {one["parameter"] for one in each["spec"]["secretTargetRef"]}
        assert given <= PARAMETERS[each["metadata"]["name"]]
        # KEDA refuses a user without a password.
        assert {"username", "password"} <= given
    (redis,) = (each for each in found if each["metadata"]["name"] == "redis")
    given = {one["key"] for one in redis["spec"]["secretTargetRef"]}
    # Whatever the script knows of a Redis: a cluster may have Sentinels and TLS.
    script = (ROOT / "deploy/secrets.sh").read_text()
    written = set(re.findall(r"\b(sentinel-\w+|address|tls)\b", script))
    assert len(written) == 5 and written <= given


def test_scaled_objects_have_the_documented_fields() -> None:
    found = of_kind("production", "ScaledObject")
    assert {each["metadata"]["name"] for each in found} == {
        *SERVICES,
        "fastapi-celery-worker",
    }
    for each in found:
        spec = each["spec"]
        assert set(spec) == SCALED_OBJECT
        assert spec["scaleTargetRef"] == {"name": each["metadata"]["name"]}
        assert one("production", "Deployment", spec["scaleTargetRef"]["name"])
        assert 1 <= spec["minReplicaCount"] < spec["maxReplicaCount"]
        fallback = spec["fallback"]
        # Losing sight of a backlog must not remove the workers that it needs.
        assert fallback["behavior"] == "currentReplicasIfHigher"
        assert spec["minReplicaCount"] <= fallback["replicas"]
        assert fallback["replicas"] <= spec["maxReplicaCount"]
        for trigger in spec["triggers"]:
            assert set(trigger["metadata"]) == TRIGGERS[trigger["type"]]
            # KEDA takes strings only.
            assert all(type(value) is str for value in trigger["metadata"].values())
            if trigger["type"] != "cpu":
                name = trigger["authenticationRef"]["name"]
                assert one("production", "TriggerAuthentication", name)
        hpa = spec["advanced"]["horizontalPodAutoscalerConfig"]
        check_behavior(hpa["behavior"])


def check_behavior(behavior: Object) -> None:
    """Up at once, down after minutes: by the schema of HPA v2."""
    assert behavior["scaleUp"]["stabilizationWindowSeconds"] == 0
    assert behavior["scaleDown"]["stabilizationWindowSeconds"] >= 120
    for direction in behavior.values():
        for policy in direction["policies"]:
            assert set(policy) == {"type", "value", "periodSeconds"}
            assert policy["type"] in ("Percent", "Pods")
            assert policy["value"] > 0 and 0 < policy["periodSeconds"] <= 60
    # Never half of them at once: the others get their work, and load may come back.
    for policy in behavior["scaleDown"]["policies"]:
        assert policy["value"] < (50 if policy["type"] == "Percent" else 3)


@pytest.mark.parametrize("name", ["production", "production-cpu"])
def test_every_horizontal_autoscaler_is_bounded(name: str) -> None:
    scaled = of_kind(name, "HorizontalPodAutoscaler")
    for each in scaled:
        assert each["apiVersion"] == "autoscaling/v2"
        spec = each["spec"]
        assert 2 <= spec["minReplicas"] < spec["maxReplicas"]
        check_behavior(spec["behavior"])
        for metric in spec["metrics"]:
            target = metric["resource"]["target"]
            # Kubernetes refuses the one without the other.
            assert target["type"] == "Utilization"
            assert 50 <= target["averageUtilization"] <= 200
    targets = [each["spec"]["scaleTargetRef"]["name"] for each in scaled]
    targets += [
        each["spec"]["scaleTargetRef"]["name"] for each in of_kind(name, "ScaledObject")
    ]
    # Each by one autoscaler, which then sets the replicas, so the manifest must not.
    others = ["fastapi-api", "fastapi-celery-worker", "nginx"]
    assert sorted(targets) == sorted([*SERVICES, *others])
    for target in targets:
        assert "replicas" not in one(name, "Deployment", target)["spec"]


def test_keda_finds_its_parameters_in_secrets_that_the_script_makes(
    cluster: Cluster, urls: list[str]
) -> None:
    sentinels = "sentinel://one?master_name=m&sentinel_username=u&sentinel_password=p"
    Path(urls[urls.index("--redis-url-file") + 1]).write_text(sentinels)
    ok(cluster.setup(*urls))
    made = cluster.secrets()
    for each in of_kind("production", "TriggerAuthentication"):
        for entry in each["spec"]["secretTargetRef"]:
            assert set(entry) == {"parameter", "name", "key"}
            assert entry["key"] in made[entry["name"]], entry


def test_the_route_leads_to_a_port_of_a_service() -> None:
    spec = one("gateway-api", "HTTPRoute", "fastapi-api")["spec"]
    assert set(spec) == {"parentRefs", "rules"}
    assert set(spec["parentRefs"][0]) == {"group", "kind", "name", "sectionName"}
    assert spec["parentRefs"][0]["sectionName"] == "https"  # never a plain listener
    for rule, path in zip(spec["rules"], ("/", "/api/v1/events"), strict=True):
        assert set(rule) == {"matches", "backendRefs", "timeouts"}
        assert rule["matches"] == [{"path": {"type": "PathPrefix", "value": path}}]
        (backend,) = rule["backendRefs"]
        # Complete: the API server would add them, and each run find a change.
        assert set(backend) == {"group", "kind", "name", "port", "weight"}
        service = one("gateway-api", "Service", backend["name"])
        assert backend["port"] in [port["port"] for port in service["spec"]["ports"]]
        assert re.fullmatch(r"\d+s", rule["timeouts"]["request"])
    assert rule["timeouts"] == {"request": "0s"}  # streams have no end
    assert not of_kind("gateway-api", "Ingress")


@pytest.mark.parametrize("name", ["development", "production"])
def test_the_ingress_leads_to_the_gateway(name: str) -> None:
    """Which limits each client, and sets the headers that the API believes."""
    for rule in one(name, "Ingress", "fastapi-api")["spec"]["rules"]:
        (path,) = rule["http"]["paths"]
        assert (path["path"], path["pathType"]) == ("/", "Prefix")
        backend = path["backend"]["service"]
        assert backend["name"] == "nginx"
        ports = one(name, "Service", "nginx")["spec"]["ports"]
        assert backend["port"] in [{"name": port["name"]} for port in ports]


def test_the_operator_takes_the_place_of_the_stateful_set() -> None:
    spec = one("operator", "RabbitmqCluster", "rabbitmq")["spec"]
    own = one("production", "StatefulSet", "rabbitmq")["spec"]
    assert not of_kind("operator", "StatefulSet")
    services = [each["metadata"]["name"] for each in of_kind("operator", "Service")]
    assert not {"rabbitmq", "rabbitmq-nodes"} & set(services)
    pod = own["template"]["spec"]
    assert spec["replicas"] == own["replicas"] == 3
    # The release of our own image.
    base = re.search("^FROM (.*)$", (ROOT / "rabbitmq/Dockerfile").read_text(), re.M)
    assert base and spec["image"] == base[1] == "rabbitmq:4.2-management"
    assert spec["autoEnableAllFeatureFlags"] is True  # as kubectl-setup.sh does
    assert spec["resources"]["limits"] == {
        "memory": pod["containers"][0]["resources"]["limits"]["memory"]
    }
    assert spec["terminationGracePeriodSeconds"] == pod["terminationGracePeriodSeconds"]
    assert spec["affinity"] == pod["affinity"]
    secret = spec["secretBackend"]["externalSecret"]["name"]
    assert secret == "rabbitmq-credentials"
    lines = set((ROOT / "rabbitmq/rabbitmq-cluster.conf").read_text().splitlines())
    # Its image has no start script of ours, which writes them elsewhere.
    lines.add("load_definitions = /definitions/definitions.json")
    assert set(spec["rabbitmq"]["additionalConfig"].splitlines()) <= lines
    override = spec["override"]["statefulSet"]["spec"]["template"]["spec"]
    assert override["securityContext"]["runAsNonRoot"] is True
    for container in [*override["containers"], *override["initContainers"]]:
        assert container["securityContext"]["capabilities"] == {"drop": ["ALL"]}


def test_on_openshift_the_operator_chooses_no_users() -> None:
    """It takes an empty `securityContext` as "set none"."""
    spec = one("operator-openshift", "RabbitmqCluster", "rabbitmq")["spec"]
    pod = spec["override"]["statefulSet"]["spec"]["template"]["spec"]
    assert pod["securityContext"] == {}


def test_versions_agree() -> None:
    source = (ROOT / "backend/app/__init__.py").read_text()
    (version,) = re.findall(r'__version__ = "(.*)"', source)
    for each in workloads():
        for container in each.containers:
            image, _, tag = container["image"].partition(":")
            if image in ("fastapi-starter-api", "rabbitmq-service", *SERVICES):
                assert tag == version
    assert f"tag={version} " in (ROOT / "kubectl-setup.sh").read_text()
