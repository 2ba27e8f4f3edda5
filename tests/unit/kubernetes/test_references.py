"""What pods name is there: a pod waits for ever for a file or claim that nobody makes,
and Kubernetes accepts its manifest all the same."""

import re
from collections.abc import Iterator

import pytest

from tests.unit.kubernetes.manifests import (
    ALL,
    ROOT,
    Object,
    rendered,
)

# Kubernetes makes it in each namespace.
OF_KUBERNETES = {"kube-root-ca.crt"}


@pytest.mark.parametrize("overlay", ALL)
def test_pods_name_what_is_there(overlay: str) -> None:
    check_references(list(rendered(overlay)))


def check_references(objects: list[Object]) -> None:
    pods = [(each, pod) for each in objects if (pod := pod_of(each))]
    assert pods
    made = {
        kind: {e["metadata"]["name"]: e for e in objects if e["kind"] == kind}
        for kind in ("ConfigMap", "PersistentVolumeClaim", "Service")
    }
    claims = {
        f"{claim['metadata']['name']}-{each['metadata']['name']}-{number}"
        for each in objects
        if each["kind"] == "StatefulSet"
        for claim in each["spec"].get("volumeClaimTemplates", [])
        for number in range(each["spec"]["replicas"])
    }
    for each, pod in pods:
        name = each["metadata"]["name"]
        for source, keys in config_maps(pod):
            if source not in OF_KUBERNETES:
                assert source in made["ConfigMap"], f"{name}: {source}"
                assert keys <= made["ConfigMap"][source]["data"].keys(), name
        assert secrets(pod) <= known_secrets(objects), name
        for volume in pod.get("volumes", []):
            if claim := volume.get("persistentVolumeClaim"):
                there = claims | made["PersistentVolumeClaim"].keys()
                assert claim["claimName"] in there, name
        own = each["spec"].get("volumeClaimTemplates", [])
        volumes = {volume["name"] for volume in pod.get("volumes", [])}
        volumes |= {claim["metadata"]["name"] for claim in own}
        for container in containers(pod):
            mounts = container.get("volumeMounts", [])
            assert {mount["name"] for mount in mounts} <= volumes, name
        if each["kind"] == "StatefulSet":  # the names of its pods are of this Service
            service = made["Service"][each["spec"]["serviceName"]]["spec"]
            labels = each["spec"]["template"]["metadata"]["labels"]
            assert service["selector"].items() <= labels.items(), name


def pod_of(each: Object) -> Object:
    """What it makes pods of; nothing if it makes none."""
    spec = each.get("spec", {})
    spec = spec.get("jobTemplate", {}).get("spec", spec)
    pod: Object = spec.get("template", {}).get("spec", {})
    return pod if "containers" in pod else {}


def containers(pod: Object) -> list[Object]:
    return [*pod.get("initContainers", []), *pod["containers"]]


def sources(pod: Object) -> Iterator[Object]:
    """Where volumes get their files."""
    for volume in pod.get("volumes", []):
        yield volume
        yield from volume.get("projected", {}).get("sources", [])


def config_maps(pod: Object) -> Iterator[tuple[str, set[str]]]:
    """Each that it names, with the keys."""
    for source in sources(pod):
        if found := source.get("configMap"):
            yield found["name"], {item["key"] for item in found.get("items", [])}
    for container in containers(pod):
        for source in container.get("envFrom", []):
            if found := source.get("configMapRef"):
                yield found["name"], set()
        for variable in container.get("env", []):
            if found := variable.get("valueFrom", {}).get("configMapKeyRef"):
                yield found["name"], {found["key"]}


def secrets(pod: Object) -> set[str]:
    """Each without which it does not start."""
    found = [each["secret"] for each in sources(pod) if "secret" in each]
    for container in containers(pod):
        values = (each.get("valueFrom", {}) for each in container.get("env", []))
        found += [each["secretKeyRef"] for each in values if "secretKeyRef" in each]
    needed = [each for each in found if not each.get("optional")]
    return {each.get("secretName") or each["name"] for each in needed}


def known_secrets(objects: list[Object]) -> set[str]:
    """Those that the scripts, cert-manager or the commands of the document make."""
    script = (ROOT / "deploy/secrets.sh").read_text()
    document = (ROOT / "docs/DEPLOYMENT.md").read_text()
    names = set(re.findall(r"(?:create|replace|complete)_secret ([\w-]+)", script))
    names |= set(re.findall(r"create secret generic ([\w-]+)", document))
    names |= {e["spec"]["secretName"] for e in objects if e["kind"] == "Certificate"}
    return names
