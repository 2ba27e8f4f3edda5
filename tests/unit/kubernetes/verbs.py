"""What calls of kubectl mean: the rights that they need, as its sources have them."""

import re
from pathlib import Path

import yaml

from deploy.missing_rights import Right

_RESOURCES = {
    "": "namespaces secrets configmaps services serviceaccounts pods events"
    " persistentvolumeclaims",
    "apps": "deployments statefulsets replicasets",
    "batch": "jobs",
    "policy": "poddisruptionbudgets",
    "autoscaling": "horizontalpodautoscalers",
    "networking.k8s.io": "networkpolicies ingresses ingressclasses",
    "storage.k8s.io": "storageclasses",
    "keda.sh": "scaledobjects triggerauthentications",
    "gateway.networking.k8s.io": "httproutes",
    "cert-manager.io": "certificates issuers",
    "rabbitmq.com": "rabbitmqclusters",
}
GROUPS = {name: group for group, all_ in _RESOURCES.items() for name in all_.split()}
CUSTOM = ("keda.sh", "gateway.networking.k8s.io", "cert-manager.io", "rabbitmq.com")
CLUSTER_WIDE = {"ingressclasses", "storageclasses"}

# What the ClusterRole `admin` gives in a namespace where it is bound: nothing of custom
# resources, unless their operator adds it.
ADMIN: set[Right] = {
    (group, name, verb)
    for name, group in GROUPS.items()
    if name not in CLUSTER_WIDE and group not in CUSTOM
    for verb in ("get", "list", "watch", "create", "patch", "delete")
    if name not in ("namespaces", "events") or verb in ("get", "list", "watch")
} | {("", "pods/log", "get"), ("", "pods/exec", "get"), ("", "pods/exec", "create")}


def plural(word: str) -> str:
    """The resource of a kind as people write it: secret, Ingress, jobs, x.keda.sh."""
    name = word.partition(".")[0].lower()
    if name in GROUPS:
        return name
    return re.sub("y$", "ie", name) + ("es" if name.endswith("s") else "s")


def rights_of_call(arguments: list[str]) -> set[Right]:
    """Those that a call needs; what every user may do is not among them."""
    match arguments:
        case ["config" | "kustomize", *_] | ["get" | "create", "--raw", *_]:
            return set()
        case ["get", "-f", path, *_]:
            return _rights(_kinds(path), "get")
        case ["get", kinds, "-l" | "-o" | "--sort-by=.metadata.creationTimestamp", *_]:
            return _rights(kinds.split(","), "list")
        case ["get", kind, *_]:
            return _rights([kind], "get")
        case ["create", "-f", path]:
            return _rights(_kinds(path), "create")
        case ["create", kind, *_]:
            return _rights([kind], "create")
        case ["patch" | "label", kind, *_]:
            return _rights([kind], "get", "patch")
        case ["apply", "--server-side", "--force-conflicts", "-f", path, *_]:
            return _rights(_kinds(path), "create", "patch")
        case ["delete", kinds, *_]:  # it waits until they are gone
            return _rights(kinds.split(","), "list", "watch", "delete")
        case ["rollout", "status", target, *_]:
            return _rights([target.partition("/")[0]], "get", "list", "watch")
        case ["logs", *_]:
            return {("", "pods", "get"), ("", "pods/log", "get")}
        case ["exec", *_]:  # by WebSocket, which begins with GET
            pods = {("", "pods/exec", verb) for verb in ("get", "create")}
            return {("", "pods", "get"), *pods}
    raise LookupError(f"no rights are known: {arguments}")


def _rights(kinds: list[str], *verbs: str) -> set[Right]:
    names = [plural(kind) for kind in kinds]
    return {(GROUPS[name], name, verb) for name in names for verb in verbs}


def _kinds(path: str) -> list[str]:
    """Of the objects in a file, which is YAML by Kustomize, or JSON on one line."""
    text = Path(path).read_text()
    return re.findall(r"^kind: (\w+)$", text, re.M) or re.findall(
        '"kind": "(.+?)"', text
    )


def rules_of(file: Path) -> set[Right]:
    """The rights in the file of a Role, read as Kubernetes reads it."""
    return {
        (group, resource, verb)
        for rule in yaml.safe_load(file.read_text())["rules"]
        for group in rule["apiGroups"]
        for resource in rule["resources"]
        for verb in rule["verbs"]
    }


def matches(selector: str, labels: dict[str, str]) -> bool:
    """Whether labels fit a selector of kubectl."""
    for rule in re.split(r",(?![^(]*\))", selector):
        if words := re.fullmatch(r"(\S+) (in|notin) \((.*)\)", rule):
            inside = labels.get(words[1]) in words[3].split(",")
            if inside != (words[2] == "in"):
                return False
        else:
            key, value = rule.split("=")
            if labels.get(key) != value:
                return False
    return True


def without_globals(arguments: list[str]) -> list[str]:
    """The call, without what is the same in each."""
    rest = list(arguments)
    for name in ("--context", "--namespace"):
        if name in rest:
            place = rest.index(name)
            del rest[place : place + 2]
    return rest
