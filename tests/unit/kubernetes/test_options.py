"""What the options of kubectl-setup.sh change in the manifests."""

import json
from pathlib import Path

import pytest

from deploy.images import digests
from tests.unit.kubernetes.cluster import (
    GATEWAY,
    KEDA,
    OPENSHIFT,
    Cluster,
    ok,
    scalers,
)
from tests.unit.kubernetes.manifests import SERVICES


def test_options_reach_the_manifests(cluster: Cluster, urls: list[str]) -> None:
    options = (
        "--namespace",
        "shop",
        "--tag",
        "1.2.3",
        "--registry",
        "reg.example.org/",
    )
    cluster.crds = KEDA
    ok(cluster.setup(*urls, *options, "--host", "shop.example.org"))
    objects = [value.get("object", {}) for value in cluster.objects.values()]
    text = json.dumps(objects)
    assert "fastapi-starter-api:0.1.0" not in text
    for image in ("fastapi-starter-api", *SERVICES, "rabbitmq-service"):
        assert f'"reg.example.org/{image}:1.2.3"' in text
    assert all(each["metadata"]["namespace"] == "shop" for each in objects if each)
    (ingress,) = (each for each in objects if each.get("kind") == "Ingress")
    assert ingress["spec"]["rules"][0]["host"] == "shop.example.org"
    assert ingress["spec"]["tls"][0]["hosts"] == ["shop.example.org"]
    assert scalers("scaledobject") <= set(cluster.objects)
    assert "statefulset/postgres" not in cluster.objects


def test_images_by_digest_take_the_place_of_tags(
    cluster: Cluster, tmp_path: Path
) -> None:
    digest = "sha256:" + "0123456789abcdef" * 4
    names = ("fastapi-starter-api", *SERVICES, "rabbitmq-service")
    lines = [
        f"  - {{name: {name}, newName: reg.example.org/{name}, digest: {digest}}}"
        for name in names
    ]
    file = tmp_path / "kustomization.yaml"
    file.write_text("\n".join(["kind: Component", "images:", *lines, ""]))
    ok(cluster.setup("--images", str(file)))
    text = json.dumps([value.get("object") for value in cluster.objects.values()])
    for name in names:
        assert f'"reg.example.org/{name}@{digest}"' in text
        assert f'"image": "{name}:' not in text
    file.write_text("\n".join(["images:", *lines[1:], ""]))
    result = cluster.setup("--images", str(file))
    assert result.returncode == 1
    assert "has no digest of fastapi-starter-api" in result.stderr
    refused = cluster.setup("--images", str(tmp_path / "nothing"))
    assert "cannot be read, or names no images" in refused.stderr


def test_images_of_others_by_digest_too(cluster: Cluster) -> None:
    ok(cluster.setup("--digests"))
    text = json.dumps([value.get("object") for value in cluster.objects.values()])
    for image in ("nginxinc/nginx-unprivileged:1.29", "postgres:17-alpine"):
        name, _, _ = image.partition(":")
        assert f'"{name}@{digests()[image]}"' in text
        assert f'"{image}"' not in text
    assert '"fastapi-starter-api:0.1.0"' in text


def test_a_gateway_takes_the_place_of_the_ingress(cluster: Cluster) -> None:
    cluster.install()
    refused = cluster.setup("--gateway", "infra/public")
    assert "(httproutes.gateway.networking.k8s.io" in refused.stderr
    gateway = ("--gateway", "infra/public", "--host", "api.example.org")
    cluster.crds = GATEWAY
    ok(cluster.setup(*gateway))
    spec = cluster.objects["httproute/fastapi-api"]["object"]["spec"]
    assert spec["parentRefs"][0]["name"] == "public"
    assert spec["parentRefs"][0]["namespace"] == "infra"
    assert spec["parentRefs"][0]["sectionName"] == "https"
    assert spec["hostnames"] == ["api.example.org"]
    assert "ingress/fastapi-api" not in cluster.objects


def test_a_route_takes_one_listener(cluster: Cluster) -> None:
    cluster.crds = GATEWAY
    ok(cluster.setup("--gateway", "infra/public/plain"))
    spec = cluster.objects["httproute/fastapi-api"]["object"]["spec"]
    names = ("namespace", "name", "sectionName")
    assert [spec["parentRefs"][0][name] for name in names] == [
        *("infra", "public", "plain")
    ]


def test_nginx_believes_the_proxies_that_are_named(
    cluster: Cluster, urls: list[str]
) -> None:
    assert "nginx believes no proxy" in ok(cluster.setup(*urls))
    told = ok(cluster.setup(*urls, "--trusted-proxies", "10.1.0.0/16,fd00::7"))
    assert "nginx believes no proxy" not in told
    configs = [v for k, v in cluster.objects.items() if "/nginx-config-" in k]
    found = [each["object"]["data"]["NGINX_TRUSTED_PROXIES"] for each in configs]
    assert found == ["", "10.1.0.0/16,fd00::7"]


def test_openshift_chooses_the_user_ids(cluster: Cluster) -> None:
    cluster.crds = (*OPENSHIFT, *GATEWAY)
    ok(cluster.setup("--gateway", "infra/public"))
    assert "httproute/fastapi-api" in cluster.objects  # both components
    for name in ("deployment/fastapi-api", "statefulset/postgres"):
        pod = cluster.objects[name]["object"]["spec"]["template"]["spec"]
        assert not {"runAsUser", "runAsGroup", "fsGroup"} & set(pod["securityContext"])
        assert pod["securityContext"]["runAsNonRoot"] is True


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--tag", "latest"], "cannot be rolled back"),
        (["--environment", "staging"], "development or production"),
        (["--namespace", "a b"], "invalid name"),
        (["--namespace"], "needs a value"),
        (["--timeout", "soon"], "invalid number"),
        (["--redis-url-file", "/nowhere"], "its own servers"),
        (["--gateway", "public"], "NAMESPACE/NAME"),
        (["--gateway", "infra/public/"], "NAMESPACE/NAME"),
        (["--gateway", "a/b/c/d"], "NAMESPACE/NAME"),
        (["--trusted-proxies", "lb.example"], "addresses and networks"),
        (["now"], "unknown argument now"),
        (["--now", "1"], "unknown option --now"),
    ],
)
def test_wrong_options_are_refused(
    cluster: Cluster, arguments: list[str], message: str
) -> None:
    result = cluster.setup(*arguments)
    assert result.returncode == 1
    assert message in result.stderr
