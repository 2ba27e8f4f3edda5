"""What kubectl-setup.sh does with a namespace that exists, and before going live."""

import pytest

from tests.unit.kubernetes.cluster import Cluster, ok

LEVEL = "pod-security.kubernetes.io"
KEY = "namespace/fastapi-starter"
RESTRICTED = {f"{LEVEL}/{mode}": "restricted" for mode in ("enforce", "audit", "warn")}


def test_one_without_a_level_gets_ours(cluster: Cluster) -> None:
    cluster.objects[KEY] = {"labels": {"team": "shop"}}
    result = cluster.setup()
    ok(result)
    assert f"{KEY} labeled" in result.stdout
    assert cluster.objects[KEY]["labels"] == {"team": "shop", **RESTRICTED}


@pytest.mark.parametrize("mode", ["enforce", "warn"])
def test_a_level_of_somebody_else_stays(cluster: Cluster, mode: str) -> None:
    labels = {f"{LEVEL}/{mode}": "baseline"}
    cluster.objects[KEY] = {"labels": labels}
    assert "the namespace keeps its pod security level" in ok(cluster.setup())
    assert cluster.objects[KEY]["labels"] == {f"{LEVEL}/{mode}": "baseline"}


def test_the_missing_certificate_of_the_ingress_is_said(
    cluster: Cluster, urls: list[str]
) -> None:
    assert "no secret api-tls" in ok(cluster.setup("--dry-run", *urls))
    cluster.objects["secret/api-tls"] = {"data": {}}
    assert "api-tls" not in ok(cluster.setup(*urls))
