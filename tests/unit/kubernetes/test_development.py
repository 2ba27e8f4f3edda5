"""The overlay of a laptop."""

from tests.unit.kubernetes.manifests import of_kind


def test_there_is_one_replica_of_each() -> None:
    """As docs/DEPLOYMENT.md says; one is also the default."""
    workloads = of_kind("development", "Deployment", "StatefulSet")
    assert workloads
    for each in workloads:
        assert each["spec"].get("replicas", 1) == 1, each["metadata"]["name"]
