"""Every workload is fit for a cluster: what kubesec and kube-score ask, and more."""

import os
import re
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from chassis.events.publisher import CONFIRM_SECONDS
from tests.unit.kubernetes.manifests import (
    ALL,
    ROOT,
    SERVICES,
    Object,
    Workload,
    of_kind,
    selects,
    workloads,
)

PROBES = ("startupProbe", "readinessProbe", "livenessProbe")


@pytest.fixture(
    params=list(workloads()),
    ids=lambda workload: f"{workload.overlay}-{workload.name}",
)
def workload(request: pytest.FixtureRequest) -> Workload:
    found: Workload = request.param
    return found


def test_there_is_a_workload_for_each_component() -> None:
    expected = {
        *("fastapi-api", "fastapi-celery-worker", "fastapi-celery-beat"),
        *("fastapi-event-relay", "fastapi-migrations"),
        *("nginx", "otel-collector", *SERVICES),
    }
    for name in ALL:
        found = {each.name for each in workloads() if each.overlay == name}
        assert expected <= found
    found = {each.name for each in workloads() if each.overlay == "development"}
    assert found == expected | {"rabbitmq", "redis", "redis-keys", "postgres"}


# The restricted level of the Pod Security Standards, line by line:
# https://kubernetes.io/docs/concepts/security/pod-security-standards/
def restricted_violations(pod: Object) -> Iterator[str]:
    for name in ("hostNetwork", "hostPID", "hostIPC", "hostUsers"):
        if pod.get(name):
            yield name
    security = pod.get("securityContext", {})
    for name in ("sysctls", "windowsOptions", "seLinuxOptions", "appArmorProfile"):
        if security.get(name):
            yield name
    allowed = {"configMap", "csi", "downwardAPI", "emptyDir", "ephemeral"}
    allowed |= {"persistentVolumeClaim", "projected", "secret"}
    for volume in pod.get("volumes", []):
        if not set(volume) - {"name"} <= allowed:
            yield f"volume {volume['name']}"
    for container in [*pod.get("initContainers", []), *pod["containers"]]:
        own = container.get("securityContext", {})
        seccomp = own.get("seccompProfile") or security.get("seccompProfile") or {}
        capabilities = own.get("capabilities", {})
        checks = {
            "privileged": not own.get("privileged"),
            "escalation": own.get("allowPrivilegeEscalation") is False,
            "drop": "ALL" in capabilities.get("drop", []),
            "add": set(capabilities.get("add", [])) <= {"NET_BIND_SERVICE"},
            "procMount": own.get("procMount", "Default") == "Default",
            "ports": not any("hostPort" in p for p in container.get("ports", [])),
            "user": own.get("runAsUser", security.get("runAsUser")) != 0,
            "non-root": own.get("runAsNonRoot", security.get("runAsNonRoot")) is True,
            "seccomp": seccomp.get("type") in ("RuntimeDefault", "Localhost"),
        }
        yield from (
            f"{container['name']}: {k}" for k, good in checks.items() if not good
        )


def test_it_passes_the_restricted_level(workload: Workload) -> None:
    assert list(restricted_violations(workload.pod)) == []


def test_the_check_of_the_restricted_level_finds_faults() -> None:
    pod = {
        "hostNetwork": True,
        "volumes": [{"name": "v", "hostPath": {"path": "/"}}],
        "containers": [{"name": "c", "securityContext": {"privileged": True}}],
    }
    found = set(restricted_violations(pod))
    assert {"hostNetwork", "volume v", "c: privileged", "c: drop"} <= found
    assert {"c: escalation", "c: non-root", "c: seccomp"} <= found


def test_it_goes_beyond_the_restricted_level(workload: Workload) -> None:
    assert workload.pod["automountServiceAccountToken"] is False
    assert workload.pod["enableServiceLinks"] is False
    for container in workload.containers:
        assert container["securityContext"]["readOnlyRootFilesystem"] is True
    security = workload.pod["securityContext"]
    ids = [security[k] for k in ("runAsUser", "runAsGroup", "fsGroup") if k in security]
    if workload.overlay.endswith("openshift"):  # refuses pods that name users
        assert not ids
    else:
        assert len(ids) == 3 and min(ids) > 0
        users = re.findall(r"^USER (\d+):(\d+)$", dockerfile(workload), re.MULTILINE)
        assert not users or [*map(str, ids[:2])] == [*users[-1]]
    has_own_users = workload.overlay == "user-namespaces"
    assert workload.pod.get("hostUsers") is (False if has_own_users else None)


def dockerfile(workload: Workload) -> str:
    """Of an image of ours."""
    image = workload.main["image"].partition(":")[0]
    if image not in {"fastapi-starter-api", *SERVICES}:
        return ""
    folder = SERVICES.get(image, ROOT / "backend")
    return (folder / "Dockerfile").read_text()


def test_it_has_a_service_account_of_its_own_without_token(workload: Workload) -> None:
    assert workload.pod["serviceAccountName"] == workload.name
    accounts = {
        each["metadata"]["name"]: each
        for each in of_kind(workload.overlay, "ServiceAccount")
    }
    assert accounts[workload.name]["automountServiceAccountToken"] is False
    # The pod's own word would count more.
    assert not workload.pod.get("automountServiceAccountToken", False)


def test_no_workload_has_cluster_permissions() -> None:
    kinds = ("Role", "RoleBinding", "ClusterRole", "ClusterRoleBinding")
    assert not [each for name in ALL for each in of_kind(name, *kinds)]


def test_its_images_are_pinned(workload: Workload) -> None:
    for container in workload.containers:
        image, _, tag = container["image"].partition(":")
        assert re.fullmatch(r"v?\d+(\.\d+)*(-[a-z0-9.]+)?", tag), container["image"]
        assert image


def test_its_resources_are_bounded(workload: Workload) -> None:
    for container in workload.containers:
        resources = container["resources"]
        assert set(resources["requests"]) >= {"cpu", "memory"}
        # A limit of CPU would throttle, and add latency only.
        assert set(resources["limits"]) >= {"memory"}
        assert "cpu" not in resources["limits"]
        asked, most = (mebibytes(resources[k]) for k in ("requests", "limits"))
        assert asked <= most <= 5 * asked, container["name"]
        if workload.kind != "StatefulSet":  # what it writes would fill its node
            assert {"ephemeral-storage"} <= {*resources["requests"]}
            assert {"ephemeral-storage"} <= {*resources["limits"]}
    for volume in workload.pod.get("volumes", []):
        if "emptyDir" in volume:
            size = mebibytes({"memory": volume["emptyDir"]["sizeLimit"]})
            # Otherwise the limit evicts the pod before the folder is full.
            most = workload.main["resources"]["limits"].get("ephemeral-storage")
            assert most is None or size < mebibytes({"memory": most})


def mebibytes(resources: dict[str, str]) -> int:
    """Of memory."""
    number, unit = resources["memory"][:-2], resources["memory"][-2:]
    return int(number) * {"Mi": 1, "Gi": 1024}[unit]


# Where images keep what a new pod must find again.
DATA = {
    "redis": "/data",
    "redis-nodes": "/data",
    "postgres": "/var/lib/postgresql/data",
    "rabbitmq": "/var/lib/rabbitmq",
}


def test_data_outlives_its_pod(workload: Workload) -> None:
    kept = workload.object["spec"].get("persistentVolumeClaimRetentionPolicy", {})
    assert {*kept.values()} <= {"Retain"}
    claims = workload.object["spec"].get("volumeClaimTemplates", [])
    names = {claim["metadata"]["name"] for claim in claims}
    assert not names & {volume["name"] for volume in workload.pod.get("volumes", [])}
    mounts = {m["mountPath"]: m["name"] for m in workload.main.get("volumeMounts", [])}
    assert names <= {*mounts.values()}
    assert workload.name not in DATA or mounts[DATA[workload.name]] in names


def test_it_changes_no_file_that_others_made(workload: Workload) -> None:
    made = {"secret", "projected", "configMap"}
    given = {v["name"] for v in workload.pod.get("volumes", []) if made & v.keys()}
    for container in workload.containers:
        for mount in container.get("volumeMounts", []):
            assert mount["name"] not in given or mount["readOnly"] is True, mount


def test_it_has_three_probes_that_differ_from_each_other(workload: Workload) -> None:
    if not workload.serves:
        assert not set(PROBES) & set(workload.main)
        return
    for container in workload.pod["containers"]:
        check_probes(workload, [container[name] for name in PROBES])


def check_probes(workload: Workload, probes: list[dict[str, Any]]) -> None:
    for probe in probes:
        assert {"periodSeconds", "timeoutSeconds", "failureThreshold"} <= set(probe)
        assert len({"httpGet", "exec", "tcpSocket"} & set(probe)) == 1
        assert 1 <= probe["timeoutSeconds"] <= max(5, probe["periodSeconds"] / 2)
        assert 1 <= probe["failureThreshold"] and 1 <= probe["periodSeconds"] <= 60
        assert probe.get("httpGet", {"path": "/"})["path"]
    # With TLS another port may speak another protocol.
    assert len({each["httpGet"]["port"] for each in probes if "httpGet" in each}) <= 1
    startup, readiness, liveness = probes
    # Killing is the last resort: later than taking it out, and after a long start.
    assert patience(liveness) > patience(readiness)
    assert liveness["timeoutSeconds"] >= readiness["timeoutSeconds"]
    # Servers read their data first.
    assert patience(startup) >= (300 if workload.kind == "StatefulSet" else 30)
    assert startup != readiness != liveness


def patience(probe: dict[str, Any]) -> int:
    """Seconds of failing until something is done."""
    return int(probe["periodSeconds"] * probe["failureThreshold"])


def test_liveness_asks_no_other_server(workload: Workload) -> None:
    if workload.serves:
        liveness = str(workload.main["livenessProbe"])
        assert "/health/ready" not in liveness
        assert "/proc/net" not in liveness
        for minutes in re.findall(r"-mmin -([\d.]+)", liveness):
            assert 0.1 <= float(minutes) <= 1


# What a process may take after SIGTERM, in seconds, by its settings or its nature;
# telemetry takes 3 s at the end of ours.
def drain_seconds(workload: Workload) -> float:
    env = workload.environment()
    telemetry = 3
    match workload.name:
        case "fastapi-api":  # backend/main.py: timeout_graceful_shutdown
            return float(env["RPC_TIMEOUT_SECONDS"]) + 5 + telemetry
        case "fastapi-celery-worker":
            # After the grace period tasks are handed back, within 10 s.
            return float(env["CELERY_WORKER_GRACE_SECONDS"]) + 10 + telemetry
        case name if name in SERVICES:
            return float(env["SHUTDOWN_GRACE_SECONDS"]) + telemetry
        case "fastapi-event-relay":
            return CONFIRM_SECONDS + telemetry
        case "nginx":
            return float(env["NGINX_READ_TIMEOUT"].removesuffix("s"))
        case "rabbitmq":
            return 30
        case "postgres":
            return 30
        case _:
            return 10


def pre_stop_seconds(workload: Workload) -> float:
    hook = workload.main["lifecycle"]["preStop"]
    if "sleep" in hook:
        return float(hook["sleep"]["seconds"])
    if workload.name == "rabbitmq":
        wait = float(workload.environment()["QUORUM_WAIT_SECONDS"])
        drain = re.search(r"drain -t (\d+)", hook["exec"]["command"][-1])
        script = (ROOT / "rabbitmq/leave.sh").read_text()
        leave = re.search(
            r"SECONDS_TO_LEAVE=(\d+)\n.*\ntimeout -s KILL (\d+) ", script, re.DOTALL
        )
        assert drain and leave
        return wait + sum(map(float, [*leave.groups(), drain[1]]))
    assert hook["exec"]["command"][-1] == "CHECKPOINT"
    return 30


def test_its_grace_is_longer_than_preStop_and_drain(workload: Workload) -> None:
    if workload.serves:
        needed = pre_stop_seconds(workload) + drain_seconds(workload)
        assert workload.pod["terminationGracePeriodSeconds"] > needed


def test_secrets_are_for_the_process_alone(workload: Workload) -> None:
    """Its group may read them: Kubernetes' default is everybody in the container."""
    for volume in workload.pod.get("volumes", []):
        if source := volume.get("secret") or volume.get("projected"):
            assert source["defaultMode"] == 0o440, volume["name"]
    for container in workload.containers:
        for mount in container.get("volumeMounts", []):
            if mount["mountPath"].startswith("/run/secrets"):
                assert mount["readOnly"], container["name"]


def test_replicas_are_spread(workload: Workload) -> None:
    if not workload.serves:
        return
    constraints = workload.pod["topologySpreadConstraints"]
    keys = {each["topologyKey"] for each in constraints}
    if workload.kind == "Deployment":
        assert keys == {"topology.kubernetes.io/zone", "kubernetes.io/hostname"}
    for each in constraints:
        assert selects(each["labelSelector"], workload.labels)
        # With one zone, or one node, pods must start all the same.
        assert (each["maxSkew"], each["whenUnsatisfiable"]) == (1, "ScheduleAnyway")


def test_a_budget_bounds_what_maintenance_takes_away(workload: Workload) -> None:
    budgets = [
        each["spec"]
        for each in of_kind(workload.overlay, "PodDisruptionBudget")
        if selects(each["spec"]["selector"], workload.labels)
    ]
    assert len(budgets) == (1 if workload.serves else 0)
    for budget in budgets:
        # minAvailable would forbid to drain the node of a single replica.
        assert "minAvailable" not in budget and budget["maxUnavailable"] in (1, "25%")
        # A pod that is not ready must not hold up a drain. A server's may be the last.
        if workload.kind == "Deployment":
            assert budget["unhealthyPodEvictionPolicy"] == "AlwaysAllow"


def test_network_policies_deny_all_but_what_is_named(workload: Workload) -> None:
    policies = {
        each["metadata"]["name"]: each["spec"]
        for each in of_kind(workload.overlay, "NetworkPolicy")
        if selects(each["spec"]["podSelector"], workload.labels)
    }
    assert policies["default-deny"]["policyTypes"] == ["Ingress", "Egress"]
    assert not {"ingress", "egress"} & set(policies["default-deny"])
    own = policies["services" if workload.name in SERVICES else workload.name]
    assert own["policyTypes"] == ["Ingress", "Egress"]
    for spec in policies.values():
        for rule in [*spec.get("ingress", []), *spec.get("egress", [])]:
            assert rule["ports"], "every rule names its ports"


def test_a_rollout_takes_nothing_away_before_its_successor_is_ready(
    workload: Workload,
) -> None:
    if workload.kind != "Deployment":
        return
    strategy = workload.object["spec"]["strategy"]
    assert strategy["rollingUpdate"]["maxUnavailable"] == 0
    assert strategy["rollingUpdate"]["maxSurge"] in (1, "25%")  # not none of both
    # One that fails after a moment must not have replaced the others by then. Beat's
    # probe already looks at several seconds.
    if workload.name != "fastapi-celery-beat":
        assert workload.object["spec"]["minReadySeconds"] >= 5
    assert strategy["type"] == "RollingUpdate"


def test_claims_are_complete(workload: Workload) -> None:
    """`kubectl apply` compares this list as a whole with what Kubernetes made of it: a
    default that is missing is a change in every run."""
    for claim in workload.object["spec"].get("volumeClaimTemplates", []):
        assert set(claim) == {"apiVersion", "kind", "metadata", "spec", "status"}
        assert set(claim["metadata"]) == {"name", "labels"}
        assert set(claim["spec"]) == {"accessModes", "volumeMode", "resources"}
        assert claim["spec"]["accessModes"] == ["ReadWriteOnce"]  # what every disk has
        assert claim["status"] == {"phase": "Pending"}


def test_rabbitmq_keeps_its_quorum() -> None:
    (found,) = (
        each
        for each in workloads()
        if each.overlay == "production" and each.name == "rabbitmq"
    )
    spec = found.object["spec"]
    assert spec["replicas"] == 3
    assert spec["podManagementPolicy"] == "Parallel"
    assert spec["persistentVolumeClaimRetentionPolicy"]["whenDeleted"] == "Retain"
    (rule,) = found.pod["affinity"]["podAntiAffinity"][
        "requiredDuringSchedulingIgnoredDuringExecution"
    ]
    assert rule["topologyKey"] == "kubernetes.io/hostname"
    assert selects(rule["labelSelector"], found.labels)
    hook = found.main["lifecycle"]["preStop"]["exec"]["command"][-1]
    # Clients leave before `drain`, which closes their connections. Not at the stop of
    # all nodes: they would have nowhere to go.
    hand_over = "{ rabbitmq-upgrade await_online_quorum_plus_one "
    assert f"test -e /tmp/stop-all || {hand_over}" in hook
    _, first, then = hook.partition("leave.sh; }; ")
    assert first and then.startswith("rabbitmq-upgrade drain ")
    budgets = of_kind("production", "PodDisruptionBudget")
    (budget,) = (each for each in budgets if each["metadata"]["name"] == "rabbitmq")
    assert budget["spec"]["maxUnavailable"] == 1


def listen_script(then: str, **settings: str) -> str:
    """What a command prints after it, where trusted.sh is on PATH."""
    folder = ROOT / "deploy/nginx"
    path = f"{folder}:{os.environ['PATH']}"
    ports = {"NGINX_PORT": "8080", "NGINX_PROBES_PORT": "8090"}
    return subprocess.run(
        ["sh", "-ec", f". '{folder}/listen.envsh'; {then}"],
        env={**os.environ, "PATH": path, **ports, **settings},
        capture_output=True,
        text=True,
        check=True,
    ).stdout.strip()


def test_nginx_believes_nobody_unless_told() -> None:
    nginx, *_ = (each for each in workloads() if each.name == "nginx")
    setting = {"NGINX_TRUSTED_PROXIES": nginx.environment()["NGINX_TRUSTED_PROXIES"]}
    printed = 'echo "$NGINX_TRUSTED"'
    assert "set_real_ip_from" not in listen_script(printed, **setting)
    told = listen_script(printed, NGINX_TRUSTED_PROXIES="192.0.2.7")
    assert "set_real_ip_from 192.0.2.7;" in told
    template = (ROOT / "deploy/nginx/cluster.conf.template").read_text()
    assert template.count("${NGINX_TRUSTED}") == 1
    assert "real_ip" not in template


def test_nginx_may_write_what_its_start_writes() -> None:
    nginx = next(each for each in workloads() if each.name == "nginx")
    mounts = nginx.main["volumeMounts"]
    written = {m["mountPath"] for m in mounts if not m.get("readOnly")}
    assert written == {"/tmp", "/etc/nginx/conf.d"}


def test_nginx_fills_in_templates_where_it_looks_for_them() -> None:
    for nginx in (each for each in workloads() if each.name == "nginx"):
        (mount,) = (
            each
            for each in nginx.main["volumeMounts"]
            if each["mountPath"] == "/etc/nginx/templates"
        )
        names = mounted_files(nginx)[mount["name"]]
        assert {Path(name).suffix for name in names} == {".template"}


def test_nginx_listens_on_both_families() -> None:
    """The image sources this script, if it is executable, before filling in files."""
    said = listen_script("echo $NGINX_PORT, $NGINX_PROBES_PORT")
    both = "[::]:8080 ipv6only=off, [::]:8090 ipv6only=off"
    assert said == (both if os.path.exists("/proc/net/if_inet6") else "8080, 8090")
    nginx = next(each for each in workloads() if each.name == "nginx")
    (start,) = (v for v in nginx.pod["volumes"] if v["name"] == "start")
    assert start["configMap"]["defaultMode"] == 0o555
    mounts = [m for m in nginx.main["volumeMounts"] if m["name"] == "start"]
    assert ".envsh" in {Path(mount["mountPath"]).suffix for mount in mounts}


def test_a_volume_has_room_for_what_its_server_keeps_in_memory(
    workload: Workload,
) -> None:
    """Twice: Redis writes its file anew beside the old one."""
    for claim in workload.object["spec"].get("volumeClaimTemplates", []):
        room = mebibytes({"memory": claim["spec"]["resources"]["requests"]["storage"]})
        assert room >= 2 * mebibytes(workload.main["resources"]["limits"])


def mounted_files(workload: Workload) -> dict[str, set[str]]:
    """The files in volumes that are made of ConfigMaps, by the volume's name."""
    keys = {
        each["metadata"]["name"]: {*each["data"]}
        for each in of_kind(workload.overlay, "ConfigMap")
    }
    return {
        volume["name"]: keys[volume["configMap"]["name"]]
        for volume in workload.pod.get("volumes", [])
        if volume.get("configMap", {}).get("name") in keys
    }


def test_a_mounted_file_hides_no_other_of_its_folder(workload: Workload) -> None:
    """Without a subPath, the whole volume takes the place of the file."""
    files = mounted_files(workload)
    for container in workload.containers:
        for mount in container.get("volumeMounts", []):
            name = Path(mount["mountPath"]).name
            known = files.get(mount["name"], set())
            assert mount.get("subPath", name) in known or name not in known, mount
            if mount["name"] in files and "subPath" in mount:
                assert mount["subPath"] in known, mount
            if name in known:
                assert "subPath" in mount, mount


def test_its_configuration_is_where_its_command_expects_it(workload: Workload) -> None:
    """What stands in a ConfigMap, in the folder in which it is mounted."""
    files = mounted_files(workload)
    for container in workload.containers:
        given = {
            f"{mount['mountPath']}/{key}"
            for mount in container.get("volumeMounts", [])
            for key in files.get(mount["name"], ())
        }
        named = re.findall(r"--config=(\S+)", " ".join(container.get("args", [])))
        assert {*named} <= given, container["name"]
