"""What kubectl-setup.sh tells about a workload that does not become ready."""

from tests.unit.kubernetes.cluster import Cluster

API = "fastapi-api"
EVENTS = [
    f"HorizontalPodAutoscaler/{API}\tWarning\t9\tFailedGetMetric\tno metrics",
    f"Deployment/{API}\tNormal\t1\tScalingReplicaSet\tScaled up to 2",
    f"ReplicaSet/{API}-5d\tWarning\t3\tFailedCreate\texceeded quota",
    f"Pod/{API}-5d-x\tWarning\t7\tBackOff\trestarting failed container",
    "Pod/nginx-7c-y\tWarning\t7\tBackOff\tof somebody else",
    "PersistentVolumeClaim/data-api-0\tWarning\t2\tProvisioningFailed\tno disk",
]
NAME = {"labels": {"app.kubernetes.io/name": "fastapi-api"}}


def test_it_tells_about_that_workload_alone(cluster: Cluster) -> None:
    cluster.events = "".join(f"{line}\n" for line in EVENTS)
    own = ("pod/fastapi-api-5d-x", "replicaset/fastapi-api-5d")
    for key in (*own, "persistentvolumeclaim/data-api-0"):
        cluster.objects[key] = NAME
    cluster.objects["pod/nginx-7c-y"] = {"labels": {"app.kubernetes.io/name": "nginx"}}
    cluster.pods = "".join(
        f"{line}\n" for line in ("fastapi-api-4f-z True", "fastapi-api-5d-x False")
    )
    cluster.fail = "rollout status deployment/fastapi-api"
    said = cluster.setup().stderr
    shown = [line for line in EVENTS if line in said]
    assert shown == [EVENTS[1], EVENTS[2], EVENTS[3], EVENTS[5]]
    assert "container main, 3 restarts CrashLoopBackOff back-off 5m0s Error 1" in said
    assert "log of fastapi-api-5d-x -c main --tail=20\n" in said
    assert "log of fastapi-api-5d-x -c main --tail=20 --previous\n" in said
    assert "fastapi-api-4f-z" not in said  # it is ready


def test_it_goes_on_without_an_answer(cluster: Cluster) -> None:
    cluster.fail = "rollout status|get events|get pods"
    result = cluster.setup()
    assert result.returncode == 1
    assert "did not become ready; fix the cause and run this" in result.stderr
