"""kubectl-remove.sh, against a kubectl that records its calls."""

import re

import pytest

from tests.unit.kubernetes.cluster import GATEWAY, KEDA, NOTHING, Cluster, ok, scalers

RABBITMQ = {"labels": {"app.kubernetes.io/name": "rabbitmq"}}


def test_remove_keeps_data_and_setup_finds_it_again(cluster: Cluster) -> None:
    cluster.install()
    made = cluster.secrets()
    result = cluster.remove()
    assert "Volumes and secrets are kept" in ok(result)
    assert "statefulset/rabbitmq deleted\n" in result.stdout
    left = {key.partition("/")[0] for key in cluster.objects}
    assert left == {"namespace", "secret", "persistentvolumeclaim"}
    assert ok(result := cluster.remove()) and not result.stdout  # nothing left to do
    ok(cluster.setup())
    assert cluster.secrets() == made


def test_remove_stops_the_intake_first(cluster: Cluster) -> None:
    cluster.install()
    ok(cluster.remove())
    deletions = [
        cluster.place(pattern)
        for pattern in (
            "^delete ingresses",
            r"^delete deployments -l .*\(nginx,fastapi-api\)",
            r"^delete deployments -l .*role notin \(service\)",
            "^delete deployments -l [^ ]* --",
            "^exec |^get pods -l app.kubernetes.io/name=rabbitmq",
            "^delete statefulsets",
            "^delete services",
        )
    ]
    assert deletions == sorted(deletions)


def test_each_step_waits_until_the_pods_of_the_last_are_gone(
    cluster: Cluster,
) -> None:
    """Else servers would stop while workers still finish what they have."""
    cluster.install()
    ok(cluster.remove())
    deletions = [call for call in cluster.said if call.startswith("delete ")]
    assert len(deletions) > 5
    for call in deletions:
        assert " --cascade=foreground " in call and " --wait=false" not in call


def test_nodes_that_all_stop_do_not_wait_for_each_other(cluster: Cluster) -> None:
    cluster.install()
    cluster.objects["pod/rabbitmq-0"] = RABBITMQ
    ok(cluster.remove())
    told = cluster.place("^exec pod/rabbitmq-0 -c rabbitmq -- touch /tmp/stop-all")
    assert told < cluster.place("^delete statefulsets")


def test_remove_with_its_data(cluster: Cluster, urls: list[str]) -> None:
    cluster.crds = KEDA + GATEWAY
    ok(cluster.setup(*urls))
    cluster.crds = KEDA + GATEWAY
    ok(cluster.remove("--delete-data"))
    assert set(cluster.objects) == {"namespace/fastapi-starter"}


def test_remove_after_a_failure_half_way(cluster: Cluster) -> None:
    cluster.install()
    cluster.fail = "delete statefulsets"
    result = cluster.remove()
    assert result.returncode == 1
    assert "run this again" in result.stderr
    cluster.fail = NOTHING
    ok(cluster.remove())
    assert "statefulset/rabbitmq" not in cluster.objects


def test_a_dry_run_lists_what_would_be_removed(cluster: Cluster) -> None:
    cluster.install()
    # A name that begins with that of another one is not the other one.
    cluster.objects["deployment/nginx-pages"] = cluster.objects["deployment/nginx"] | {
        "labels": {
            **cluster.objects["deployment/nginx"]["labels"],
            "app.kubernetes.io/name": "nginx-pages",
        }
    }
    cluster.objects["pod/rabbitmq-0"] = RABBITMQ
    before = dict(cluster.objects)
    result = cluster.run("kubectl-remove.sh", "--dry-run", "--delete-data", yes=False)
    ok(result)
    assert cluster.objects == before
    assert {call.split()[0] for call in cluster.said} <= {"config", "get", "create"}
    assert "statefulset/rabbitmq" in result.stdout
    assert "persistentvolumeclaim/data-postgres-0" in result.stdout
    lines = result.stdout.splitlines()
    kept = {"namespace/fastapi-starter", "pod/rabbitmq-0"}  # goes with its StatefulSet
    assert sorted(lines) == sorted(set(cluster.objects) - kept)  # each of them once


def test_an_operator_that_is_down_is_named(cluster: Cluster, urls: list[str]) -> None:
    cluster.crds = KEDA
    ok(cluster.setup(*urls))
    cluster.held = {"scaledobject": "finalizer.keda.sh", "ingress": "lb.example.org/x"}
    result = cluster.remove("--timeout", "40")
    assert result.returncode == 1
    said = result.stderr
    assert len(re.findall(r"after \d+ s, these still exist:", said)) == 2  # early, late
    finalizer = "has the finalizer finalizer.keda.sh"
    assert f"* scaledobject/fastapi-celery-worker {finalizer}" in said
    assert "only KEDA's operator (deployment keda-operator" in said
    assert (
        "kubectl --context kind-test -n fastapi-starter patch"
        " scaledobject/fastapi-celery-worker --type merge"
        """ -p '{"metadata":{"finalizers":null}}'"""
    ) in said
    assert "This loses nothing that lasts" in said
    assert "has the finalizer lb.example.org/x, which only the controller that" in said
    assert "when nothing holds them any more, run this again" in said
    assert "foregroundDeletion" not in said
    cluster.held = {}
    ok(cluster.remove())
    assert not scalers("scaledobject") & set(cluster.objects)


def test_workloads_that_wait_for_their_pods_are_named(cluster: Cluster) -> None:
    cluster.install()
    cluster.held = {"statefulset": ""}  # deleted in the foreground
    result = cluster.remove("--timeout", "20")
    assert "* statefulset/rabbitmq waits for its pods" in result.stderr
    assert "patch" not in result.stderr


def test_another_namespace_is_named(cluster: Cluster) -> None:
    assert "Remove what runs in namespace shop;" in ok(
        cluster.remove("--namespace", "shop")
    )
    said = ok(cluster.remove("--namespace", "shop", "--delete-data"))
    assert "Remove ALL in namespace shop, DATA INCLUDED" in said


def test_remove_without_a_namespace(cluster: Cluster) -> None:
    assert "nothing to do" in ok(cluster.remove())


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--namespace", "a b"], "invalid name"),
        (["--timeout", "soon"], "invalid number"),
        (["--timeout", "0"], "invalid number"),
        (["--timeout"], "needs a value"),
        (["all"], "unknown argument all"),
        (["--all", "1"], "unknown option --all"),
    ],
)
def test_wrong_options_remove_nothing(
    cluster: Cluster, arguments: list[str], message: str
) -> None:
    cluster.install()
    before = dict(cluster.objects)
    result = cluster.remove(*arguments)
    assert (result.returncode, cluster.objects) == (1, before)
    assert message in result.stderr
