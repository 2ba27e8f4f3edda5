"""`kubectl-setup.sh --check` runs a Job, prints its table, and leaves nothing."""

from pathlib import Path
from typing import Any

import pytest

from tests.unit.kubernetes.cluster import OPENSHIFT, Cluster, ok, temporary_folders
from tests.unit.kubernetes.manifests import of_kind, one, selects

TABLE = "promise  result\nthe API is alive  ok\n"
JOB = "job/smoke-test"


def pod(cluster: Cluster) -> dict[str, Any]:
    found: dict[str, Any] = cluster.applied[JOB]["object"]["spec"]["template"]["spec"]
    return found


def left(cluster: Cluster) -> list[str]:
    return [key for key in cluster.objects if "smoke" in key]


def test_the_job_runs_with_the_image_of_the_api_and_goes(cluster: Cluster) -> None:
    folders = temporary_folders()  # of runs that were killed
    ok(cluster.setup("--tag", "1.2.3", "--registry", "reg.example.org"))
    before = dict(cluster.objects)
    cluster.log = TABLE
    result = cluster.setup("--check")
    ok(result)
    assert result.stdout.strip() == TABLE.strip()
    (container,) = pod(cluster)["containers"]
    assert container["image"] == "reg.example.org/fastapi-starter-api:1.2.3"
    assert container["args"] == ["python", "-m", "app.smoke", "http://nginx:8080"]
    assert cluster.objects == before
    assert temporary_folders() <= folders


def test_a_broken_promise_fails_the_script(cluster: Cluster) -> None:
    cluster.install()
    cluster.log, cluster.job = TABLE, "Failed"
    result = cluster.setup("--check")
    assert result.returncode == 1
    assert TABLE.strip() in result.stdout
    assert not left(cluster)
    assert "get events" not in " ".join(cluster.said)


def test_a_job_that_prints_nothing_is_explained(cluster: Cluster) -> None:
    cluster.install()
    cluster.job = ""
    assert cluster.setup("--check", "--timeout", "1").returncode == 1
    assert cluster.place("^get pods -l app.kubernetes.io/name=smoke-test")
    assert "get events" in " ".join(cluster.said)


def test_the_token_is_a_secret_for_the_run_only(
    cluster: Cluster, tmp_path: Path
) -> None:
    cluster.install()
    file = tmp_path / "token"
    file.write_text("Sekret4\n")
    cluster.log = TABLE
    result = cluster.setup("--check-token-file", str(file))
    ok(result)
    assert cluster.place("^create -f .*/secret.json$") < cluster.place("^apply")
    assert pod(cluster)["containers"][0]["args"][3:-1] == [
        *("--token-file", "/run/secrets/token"),
    ]
    assert cluster.applied[JOB]["object"]["spec"]["template"]["spec"]["volumes"][1] == {
        "name": "token",
        "secret": {"secretName": "smoke-test", "optional": True, "defaultMode": 0o440},
    }
    assert "Sekret4" not in " ".join([*cluster.said, result.stdout, result.stderr])
    assert not left(cluster)


def test_it_speaks_tls_where_nginx_does(cluster: Cluster) -> None:
    cluster.crds = ("certificates.cert-manager.io", "issuers.cert-manager.io")
    ok(cluster.setup("--tls"))
    ok(cluster.setup("--check"))
    assert pod(cluster)["containers"][0]["args"][3:] == [
        *("--ca-file", "/tls/ca.crt", "https://nginx:8080"),
    ]


def test_it_names_no_user_where_the_api_names_none(cluster: Cluster) -> None:
    cluster.crds = OPENSHIFT
    ok(cluster.setup())
    ok(cluster.setup("--check"))
    security = pod(cluster)["securityContext"]
    assert not {"runAsUser", "runAsGroup", "fsGroup"} & set(security)
    assert security["runAsNonRoot"] is True


def test_without_a_system_there_is_nothing_to_check(cluster: Cluster) -> None:
    result = cluster.setup("--check")
    assert result.returncode == 1
    assert "no API runs in namespace fastapi-starter" in result.stderr


@pytest.mark.parametrize("text", ["", None])
def test_a_token_file_without_a_token_is_refused(
    cluster: Cluster, tmp_path: Path, text: str | None
) -> None:
    file = tmp_path / "token"
    if text is not None:
        file.write_text(text)
    result = cluster.setup("--check-token-file", str(file))
    assert "cannot be read, or is empty" in result.stderr


def test_a_check_that_failed_is_not_repeated() -> None:
    """A second run would find the records of the first."""
    spec = one("smoke", "Job", "smoke-test")["spec"]
    assert spec["backoffLimit"] == 0
    assert spec["template"]["spec"]["restartPolicy"] == "Never"
    assert 0 < spec["activeDeadlineSeconds"] <= 900  # nor waits for ever


def test_its_pod_reaches_nginx_and_nothing_else() -> None:
    labels = one("smoke", "Job", "smoke-test")["spec"]["template"]["metadata"]
    rules = [
        rule
        for each in of_kind("smoke", "NetworkPolicy")
        if selects(each["spec"]["podSelector"], labels["labels"])
        and each["metadata"]["name"] != "dns"
        for rule in each["spec"].get("egress", [])
    ]
    nginx = {"matchLabels": {"app.kubernetes.io/name": "nginx"}}
    ports = [{"protocol": "TCP", "port": 8080}]
    assert rules == [{"to": [{"podSelector": nginx}], "ports": ports}]
    (taken,) = one("smoke", "NetworkPolicy", "nginx")["spec"]["ingress"]
    assert {"namespaceSelector": {}} in taken["from"]  # also pods of its own
    assert taken["ports"] == ports
