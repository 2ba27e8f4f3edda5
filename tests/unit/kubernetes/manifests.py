"""What Kustomize makes of the manifests, for the tests."""

import os
import shutil
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

import pytest
import yaml

ROOT = Path(__file__).parents[3]
OVERLAYS = ("development", "production", "production-cpu")

# An overlay for each part that is not in one of ours, or for two.
OPTIONS = {
    "operator": ("rabbitmq/operator",),
    "gateway-api": ("backend/gateway-api",),
    "openshift": ("deploy/components/openshift",),
    "operator-openshift": ("rabbitmq/operator", "deploy/components/openshift"),
    "tls": ("deploy/components/tls",),
    "smoke": ("deploy/smoke",),
    "user-namespaces": ("deploy/components/user-namespaces",),
    "servers": ("deploy/ha/cloudnative-pg", "deploy/ha/redis"),
}

Object = dict[str, Any]

# Folders of the services by the names of their Deployments, which are those of their
# containers and images too.
SERVICES = {
    each["metadata"]["name"]: file.parent
    for file in sorted(ROOT.glob("services/*/*-pod.yaml"))
    for each in yaml.load_all(file.read_text(), yaml.CSafeLoader)
    if each["kind"] == "Deployment"
}


def kubectl() -> str:
    """The real one; tests need it for Kustomize only, never a cluster."""
    found = shutil.which("kubectl")
    if found is None and os.environ.get("CI"):
        pytest.fail("kubectl is missing, which CI must have")
    if found is None:
        pytest.skip("kubectl is not on PATH", allow_module_level=True)
    return found


def build(folder: Path) -> list[Object]:
    """The objects of a kustomization, in the order in which they would be applied."""
    result = subprocess.run(
        [kubectl(), "kustomize", str(folder)], capture_output=True, text=True
    )
    assert result.returncode == 0, result.stderr
    # In C, because the one in Python takes a second for each overlay.
    documents = yaml.load_all(result.stdout, yaml.CSafeLoader)
    return [document for document in documents if document]


@cache
def rendered(name: str) -> tuple[Object, ...]:
    """The objects of an overlay, or of production with an option."""
    if name in OVERLAYS:
        return tuple(build(ROOT / "deploy/overlays" / name))
    # Not "test-": a session with servers would remove it as that of a dead one.
    folder = ROOT / ".local" / f"deploy-{os.getpid()}"
    folder.mkdir(parents=True, exist_ok=True)  # one that was killed leaves it
    components = ", ".join(f"../../{part}" for part in OPTIONS[name])
    try:
        (folder / "kustomization.yaml").write_text(
            "namespace: fastapi-starter\n"
            "resources: [../../deploy/overlays/production]\n"
            f"components: [{components}]\n"
        )
        return tuple(build(folder))
    finally:
        shutil.rmtree(folder)


ALL = (*OVERLAYS, *OPTIONS)


def of_kind(name: str, *kinds: str) -> list[Object]:
    """The objects of an overlay that have one of these kinds."""
    return [each for each in rendered(name) if each["kind"] in kinds]


def one(name: str, kind: str, object_name: str) -> Object:
    """The one object of that kind and name; a ConfigMap's name without its hash."""
    found = [each for each in of_kind(name, kind) if plain_name(each) == object_name]
    assert len(found) == 1, f"{len(found)} of {kind} {object_name} in {name}"
    return found[0]


def plain_name(each: Object) -> str:
    """The name, without what Kustomize puts behind those of generated ConfigMaps."""
    name = str(each["metadata"]["name"])
    return name.rpartition("-")[0] if each["kind"] == "ConfigMap" else name


@dataclass(frozen=True)
class Workload:
    """Something that makes pods."""

    overlay: str
    object: Object

    @property
    def name(self) -> str:
        return str(self.object["metadata"]["name"])

    @property
    def kind(self) -> str:
        return str(self.object["kind"])

    @property
    def template(self) -> Object:
        template: Object = self.object["spec"]["template"]
        return template

    @property
    def pod(self) -> Object:
        pod: Object = self.template["spec"]
        return pod

    @property
    def labels(self) -> dict[str, str]:
        labels: dict[str, str] = self.template["metadata"]["labels"]
        return labels

    @property
    def containers(self) -> list[Object]:
        return [*self.pod.get("initContainers", []), *self.pod["containers"]]

    @property
    def main(self) -> Object:
        """The container that gives the pod its purpose."""
        main: Object = self.pod["containers"][0]
        assert len(self.pod["containers"]) == 1 or main["name"] == self.name
        return main

    @property
    def serves(self) -> bool:
        """Whether it runs until it is told to stop."""
        return self.kind != "Job"

    def environment(self) -> dict[str, str]:
        """What the main container's process sees."""
        variables: dict[str, str] = {}
        for source in self.main.get("envFrom", []):
            name = source["configMapRef"]["name"]
            found = [
                each
                for each in of_kind(self.overlay, "ConfigMap")
                if each["metadata"]["name"] == name
            ]
            variables |= found[0]["data"]
        for variable in self.main.get("env", []):
            if "value" in variable:
                variables[variable["name"]] = variable["value"]
        return variables


def workloads() -> Iterator[Workload]:
    """All of all overlays."""
    for name in ALL:
        for each in of_kind(name, "Deployment", "StatefulSet", "DaemonSet", "Job"):
            yield Workload(name, each)


def workload(name: str, overlay: str = "production") -> Workload:
    """The one of that name."""
    (found,) = (
        each for each in workloads() if (each.overlay, each.name) == (overlay, name)
    )
    return found


def selects(selector: Object, labels: dict[str, str]) -> bool:
    """Whether a label selector means something with these labels."""
    for key, value in selector.get("matchLabels", {}).items():
        if labels.get(key) != value:
            return False
    for rule in selector.get("matchExpressions", []):
        assert rule["operator"] == "In"
        if labels.get(rule["key"]) not in rule["values"]:
            return False
    return True
