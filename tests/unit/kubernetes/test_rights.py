"""What the scripts may do, and what they say when they may not."""

import re
from pathlib import Path

import pytest

from deploy.missing_rights import rights_of
from tests.unit.kubernetes.cluster import GATEWAY, KEDA, NOTHING, Cluster, ok, scalers
from tests.unit.kubernetes.manifests import ROOT
from tests.unit.kubernetes.verbs import ADMIN, CLUSTER_WIDE, rules_of

ROLES = ROOT / "deploy/rights"
ALL = (
    *(*KEDA, *GATEWAY, "rabbitmqclusters.rabbitmq.com"),
    *("certificates.cert-manager.io", "issuers.cert-manager.io"),
)
PUBLIC = ("--gateway", "infra/public")


def everything_of_setup(cluster: Cluster, urls: list[str]) -> None:
    """All that the script ever does."""
    ok(cluster.setup())
    cluster.crds = ALL
    ok(cluster.setup(*urls, *PUBLIC, "--tls"))
    cluster.objects["secret/rabbitmq-users"]["data"].pop("api")  # of an older release
    ok(cluster.setup(*urls))
    ok(cluster.setup())
    cluster.pods, cluster.fail = "main False\n", "rollout status"
    assert cluster.setup().returncode == 1
    cluster.pods, cluster.fail = "", NOTHING


def everything_of_remove(cluster: Cluster, urls: list[str]) -> None:
    cluster.crds = ALL
    ok(cluster.setup(*urls, *PUBLIC, "--tls"))
    cluster.objects["pod/rabbitmq-0"] = {
        "labels": {"app.kubernetes.io/name": "rabbitmq"}
    }
    cluster.used.clear()
    ok(cluster.remove())
    ok(cluster.remove("--delete-data"))
    cluster.objects["service/x"] = {
        "labels": {"app.kubernetes.io/part-of": "fastapi-starter"}
    }
    cluster.held = {"service": "x"}
    assert cluster.remove().returncode == 1


def everything_of_check(cluster: Cluster, token: Path) -> None:
    cluster.install()
    cluster.used.clear()
    ok(cluster.setup("--check-token-file", str(token)))
    cluster.pods, cluster.job = "smoke-test False\n", "Failed"
    assert cluster.setup("--check").returncode == 1
    cluster.pods, cluster.job = "", "Complete"


def test_the_role_of_the_check_is_what_it_does(
    cluster: Cluster, tmp_path: Path
) -> None:
    (tmp_path / "token").write_text("token")
    everything_of_check(cluster, tmp_path / "token")
    assert cluster.used == rules_of(ROLES / "check.yaml")
    cluster.allowed = rules_of(ROLES / "check.yaml")
    ok(cluster.setup("--check"))
    cluster.allowed -= {("batch", "jobs", "create")}
    refused = cluster.setup("--check")
    assert refused.returncode == 1 and "jobs" in refused.stderr


def test_the_roles_are_what_the_scripts_do(cluster: Cluster, urls: list[str]) -> None:
    everything_of_setup(cluster, urls)
    of_cluster = rules_of(ROLES / "cluster.yaml")
    setup = rules_of(ROLES / "setup.yaml")
    assert cluster.used == setup | of_cluster
    assert not [name for _, name, _ in setup if name in CLUSTER_WIDE]
    everything_of_remove(cluster, urls)
    assert cluster.used == rules_of(ROLES / "remove.yaml")


@pytest.mark.parametrize("name", ["setup", "remove", "check"])
def test_the_script_reads_its_role_as_kubernetes_does(name: str) -> None:
    file = ROLES / f"{name}.yaml"
    assert set(rights_of(file.read_text())) == rules_of(file)


def test_the_roles_are_enough(cluster: Cluster, urls: list[str]) -> None:
    cluster.objects["namespace/fastapi-starter"] = {}
    cluster.allowed = rules_of(ROLES / "setup.yaml")
    everything_of_setup(cluster, urls)
    said = ok(cluster.setup())
    for kind in ("ingressclass", "storageclass"):
        assert f"cannot be read with your rights: {kind}; whether there is" in said
    assert "there is no" not in said
    assert "you may not label it. Ask for: kubectl label namespace" in said
    cluster.allowed |= rules_of(ROLES / "remove.yaml")
    everything_of_remove(cluster, urls)


def test_an_admin_of_the_namespace_runs_both_scripts(cluster: Cluster) -> None:
    cluster.crds, cluster.allowed = ALL, ADMIN
    cluster.objects["namespace/fastapi-starter"] = {}
    said = ok(cluster.setup())
    assert "cannot be read with your rights: scaledobjects; whether an earlier" in said
    said = ok(cluster.remove("--delete-data"))
    for kind in ALL:
        assert f"cannot be read with your rights: {kind}; whether kubectl-setup" in said
    assert set(cluster.objects) == {"namespace/fastapi-starter"}


def test_an_admin_makes_no_second_autoscaler(cluster: Cluster, urls: list[str]) -> None:
    """Beside KEDA's, which somebody with more rights has made."""
    cluster.crds = KEDA
    ok(cluster.setup(*urls))
    before = dict(cluster.objects)
    cluster.allowed = ADMIN
    result = cluster.setup(*urls)
    assert result.returncode == 1
    assert "KEDA is not installed" not in result.stderr
    assert (
        "scaledobjects.keda.sh: get, list, watch, create, patch, delete"
        in result.stderr
    )
    assert "triggerauthentications.keda.sh: get, create, patch" in result.stderr
    assert "Role in deploy/rights/setup.yaml has them" in result.stderr
    assert cluster.objects == before


@pytest.mark.parametrize("script", ["setup", "remove"])
def test_all_missing_rights_are_said_at_once(cluster: Cluster, script: str) -> None:
    cluster.install()
    before = dict(cluster.objects)
    role = rules_of(ROLES / f"{script}.yaml")
    cluster.allowed = {each for each in role if each[2] not in ("patch", "delete")}
    cluster.allowed.discard(("", "pods/exec", "create"))
    result = cluster.run(f"kubectl-{script}.sh")
    assert result.returncode == 1
    lines = set(re.findall(r"^  (\S+): (.*)$", result.stderr, re.MULTILINE))
    missing = {
        (f"{name}.{group}".strip("."), verb)
        for group, name, verb in role - cluster.allowed
        if group not in ("keda.sh", "rabbitmq.com", "cert-manager.io")
        and not group.startswith("gateway")
        and (script == "setup" or name not in ("secrets", "persistentvolumeclaims"))
    }
    said = {(name, verb) for name, verbs in lines for verb in verbs.split(", ")}
    assert said == missing and len(said) > 5
    assert cluster.objects == before


def test_a_cluster_that_cannot_list_rights_stops_nobody(cluster: Cluster) -> None:
    """As with an authorizer outside of the cluster, which knows no lists."""
    cluster.allowed, cluster.incomplete = set(), True
    result = cluster.setup()
    assert "cannot list all your rights; these are not checked:" in result.stderr
    assert "  secrets: get, create, patch" in result.stderr
    assert "you lack these rights" not in result.stderr
    cluster.allowed = None
    assert "not checked" not in ok(cluster.setup())


FORBIDDEN = "Error from server (Forbidden): it is forbidden"


@pytest.mark.parametrize("failure", [FORBIDDEN, "Unable to connect: i/o timeout"])
@pytest.mark.parametrize(
    "call",
    [
        "get --raw /apis/keda",
        "get --raw /apis/gateway",
        "get --raw /apis/security",
        "create --raw",
        "get secret database-cred",
        "get secret identity-settings",
    ],
)
def test_what_cannot_be_read_is_never_taken_for_missing(
    cluster: Cluster, urls: list[str], call: str, failure: str
) -> None:
    cluster.fail, cluster.failure = call, failure
    if "identity" in call:
        cluster.variables = {}
    result = cluster.setup("--environment", "production")
    assert result.returncode == 1
    assert failure in result.stderr and "name its URL" not in result.stderr
    assert not cluster.objects


@pytest.mark.parametrize("call", ["get namespace", "get ingressclass", "get storagec"])
def test_a_cluster_that_does_not_answer_stops_the_script(
    cluster: Cluster, call: str
) -> None:
    cluster.fail = call
    result = cluster.setup()
    assert result.returncode == 1 and "i/o timeout" in result.stderr
    assert "deployment/nginx" not in cluster.objects


def test_remove_stops_when_it_cannot_see_what_is_there(
    cluster: Cluster, urls: list[str]
) -> None:
    cluster.crds = KEDA
    ok(cluster.setup(*urls))
    cluster.fail = "get --raw /apis/keda"
    assert cluster.remove().returncode == 1
    assert scalers("scaledobject") <= set(cluster.objects)
    assert "deployment/nginx" in cluster.objects
    cluster.fail = "get namespace"
    result = cluster.remove()
    assert result.returncode == 1 and "nothing to do" not in result.stderr


def test_a_metrics_server_that_is_down_is_named(
    cluster: Cluster, urls: list[str]
) -> None:
    cluster.fail = "get --raw /apis/metrics"
    cluster.failure = "Error from server (ServiceUnavailable): is busy"
    said = ok(cluster.setup(*urls))
    assert "no metrics server answers" in said and "(ServiceUnavailable)" in said
