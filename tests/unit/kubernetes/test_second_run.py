"""What a second run of kubectl-setup.sh changes, and what it reports."""

from typing import Any

from tests.unit.kubernetes.cluster import KEDA, Cluster, ok
from tests.unit.kubernetes.manifests import SERVICES


def test_a_second_run_changes_and_reports_nothing(
    cluster: Cluster, urls: list[str]
) -> None:
    cluster.crds = KEDA
    for options in ([], urls):
        first = cluster.setup(*options)
        assert "Nothing has changed" not in ok(first)
        assert "deployment/nginx created" in first.stdout or options
        before = dict(cluster.objects)
        second = cluster.setup(*options)
        assert "Nothing has changed." in ok(second)
        assert second.stdout == ""
        assert cluster.objects == before


def test_a_change_is_reported_by_name(cluster: Cluster) -> None:
    cluster.install()
    result = cluster.setup("--tag", "0.2.0")
    ok(result)
    changed = {line for line in result.stdout.splitlines() if "created" not in line}
    images = ("fastapi-api", "fastapi-celery-worker", "fastapi-celery-beat", *SERVICES)
    expected = {f"deployment/{name} configured" for name in images}
    expected |= {"deployment/fastapi-event-relay configured"}
    assert changed == expected | {"statefulset/rabbitmq configured"}


def test_a_change_by_hand_is_put_back_and_named(cluster: Cluster) -> None:
    cluster.install()
    nginx = cluster.objects["deployment/nginx"]
    nginx["object"]["spec"]["replicas"] = 7
    edit: dict[str, Any] = {"f:spec": {"f:replicas": {}, "f:paused": {}}}
    hand = {"manager": "kubectl-edit", "operation": "Update", "fieldsV1": edit}
    nginx["managed"].append(hand)
    result = cluster.setup()
    assert "deployment/nginx: kubectl-edit update had set .spec.replicas;" in ok(result)
    assert result.stdout == "deployment/nginx configured\n"
    assert ".spec.paused" not in result.stderr
    assert cluster.objects["deployment/nginx"]["object"]["spec"]["replicas"] == 1


def test_replicas_belong_to_the_autoscaler(cluster: Cluster, urls: list[str]) -> None:
    ok(cluster.setup(*urls))
    spec = cluster.objects["deployment/fastapi-api"]["object"]["spec"]
    spec["replicas"] = 9
    result = cluster.setup(*urls)
    assert ok(result) and result.stdout == ""
    spec = cluster.objects["deployment/fastapi-api"]["object"]["spec"]
    assert spec["replicas"] == 9
