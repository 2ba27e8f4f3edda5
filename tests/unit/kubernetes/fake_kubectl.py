"""A kubectl that answers out of memory instead of a cluster."""

import base64
import copy
import json
import os
import re
import subprocess
from dataclasses import dataclass, field
from functools import cache
from itertools import count
from pathlib import Path
from typing import Any, NoReturn

import yaml

from deploy.missing_rights import Right
from tests.unit.kubernetes.fields import fields_of, value_at, without
from tests.unit.kubernetes.recorder import Recorder
from tests.unit.kubernetes.verbs import matches, plural, rights_of_call, without_globals

Objects = dict[str, dict[str, Any]]


@dataclass
class FakeKubectl(Recorder):
    """The cluster, and what it is asked. `fail` is a pattern of the call that fails
    with `failure`, `crds` are the installed kinds, `job` is how each Job ends, `log`
    what the smoke test prints, `applied` what was ever applied, `variables` are those
    of the scripts. `allowed` are the user's rights, None is all of them; `used` are
    those that calls needed. Objects of the kinds in `held` have that finalizer, whose
    operator is down. `events` and `pods` are lines, as the scripts read them. `edit` is
    what somebody has changed in the manifests."""

    kubectl: str
    objects: Objects = field(default_factory=dict)
    fail: str = "$^"
    failure: str = "Unable to connect to the server: i/o timeout"
    crds: tuple[str, ...] = ()
    version: str = "v1.33.2"
    job: str = "Complete"
    log: str = ""
    applied: Objects = field(default_factory=dict)
    variables: dict[str, str] = field(default_factory=dict)
    allowed: set[Right] | None = None
    used: set[Right] = field(default_factory=set)
    incomplete: bool = False
    held: dict[str, str] = field(default_factory=dict)
    events: str = ""
    pods: str = ""
    edit: tuple[str, str] = ("", "")
    clock: "count[int]" = field(default_factory=count)

    def answer(self, arguments: list[str]) -> str:
        arguments = without_globals(arguments)
        if arguments[0] == "kustomize":
            return self._kustomize(Path(arguments[1]))
        if re.search(self.fail, _described(arguments)):
            raise LookupError(self.failure)
        self._authorize(arguments)
        match arguments:
            case ["config", "current-context"]:
                return "kind-test"
            case ["get", "--raw", "/version"]:
                return f'{{"gitVersion": "{self.version}"}}'
            case ["get", "--raw", path]:
                return self._discover(path)
            case ["create", "--raw", *_]:
                return self._review()
            case ["get", "-f", path, *_]:
                return self._show(_documents(Path(path).read_text()))
            case ["get", "ingressclass" | "storageclass", *_]:
                return 'is-default-class: "true"'
            case ["get", "job", _, "-o", _]:
                return self.job
            case ["get", "namespace", name, *_]:
                return self._namespace(name)
            case ["get", "secret", name, "-o", "name", "--ignore-not-found"]:
                return f"secret/{name}" if f"secret/{name}" in self.objects else ""
            case ["get", "secret", name, "-o", key, "--ignore-not-found"]:
                data = self.objects.get(f"secret/{name}", {}).get("data", {})
                value = data.get(key.removeprefix("jsonpath={.data.").rstrip("}"), "")
                return base64.b64encode(value.encode()).decode()
            case ["get", kinds, "-l", selector, "-o", "name", *_]:
                return "".join(f"{key}\n" for key in self._found(kinds, selector))
            case ["get", kinds, "-l", selector, "-o", path] if "deletionT" in path:
                return "".join(
                    f"{key.replace('/', ' ')} {self.objects[key]['finalizers']}\n"
                    for key in self._found(kinds, selector)
                    if "finalizers" in self.objects[key]
                )
            case ["get", "events", *_]:
                return self.events
            case ["get", "pods", "-l", _, "-o", path] if "Ready" in path:
                return self.pods
            case ["get", "pod", _, "-o", path] if "initContainer" not in path:
                return "main 3 CrashLoopBackOff back-off 5m0s Error 1\n"
            case ["rollout", "status", target, _]:
                return target if target in self.objects else _no()
            case ["get", "deployment" | "service" as kind, name, "-o", path]:
                found = self.objects.get(f"{kind}/{name}") or _no()
                return value_at(found["object"], path)
            case ["logs", "job/smoke-test", *_]:
                return self.log
            case ["logs", *rest]:
                return f"log of {' '.join(rest)}\n"
            case ["get" | "exec", *_]:
                return ""
            case _:
                return self._change(arguments)

    def _authorize(self, arguments: list[str]) -> None:
        needed = rights_of_call(arguments)
        self.used |= needed
        for group, resource, verb in sorted(needed - (self.allowed or needed)):
            raise LookupError(
                f"Error from server (Forbidden): {resource}.{group} is forbidden:"
                f' User "jane" cannot {verb} resource "{resource}"'
            )

    def _discover(self, path: str) -> str:
        """What `/apis/GROUP/VERSION` says to every user."""
        group = path.split("/")[2]
        names = [crd.partition(".") for crd in (*self.crds, "nodes.metrics.k8s.io")]
        found = [{"name": name} for name, _, of in names if of == group]
        return json.dumps({"resources": found}) if found else _no()

    def _review(self) -> str:
        every = [("*", "*", "*")]
        rules = [
            {"apiGroups": [group], "resources": [resource], "verbs": [verb]}
            for group, resource, verb in (
                every if self.allowed is None else self.allowed
            )
        ]
        status = {"resourceRules": rules, "incomplete": self.incomplete}
        return json.dumps({"status": status})

    def _namespace(self, name: str) -> str:
        if f"namespace/{name}" not in self.objects:
            return ""
        labels = self.objects[f"namespace/{name}"].get("labels", {})
        level = "pod-security.kubernetes.io"
        modes = ("enforce", "audit", "warn")
        levels = ",".join(labels.get(f"{level}/{mode}", "") for mode in modes)
        return f"found {levels}"

    def _show(self, documents: list[dict[str, Any]]) -> str:
        """Those that exist, with what a cluster adds, which is new each time."""
        items = []
        for each in documents:
            if stored := self.objects.get(_key(each)):
                live = copy.deepcopy(stored["object"])
                live["metadata"]["resourceVersion"] = str(next(self.clock))
                live["metadata"]["managedFields"] = stored["managed"]
                items.append({**live, "status": {"seen": next(self.clock)}})
        return json.dumps({"kind": "List", "items": items}) if items else ""

    def _change(self, arguments: list[str]) -> str:
        match arguments:
            case ["create", "namespace", name]:
                self.objects[f"namespace/{name}"] = {}
            case ["create", "-f", path]:
                secret = json.loads(Path(path).read_text())
                self.objects[_key(secret)] = {
                    "labels": secret["metadata"]["labels"],
                    "data": _decoded(secret["data"]),
                }
            case ["patch", "secret", name, "--type", _, "--patch-file", path]:
                return self._patch(self.objects[f"secret/{name}"], Path(path))
            case ["label", kind, name, *labels]:
                pairs = dict(label.split("=") for label in labels)
                self.objects[f"{kind}/{name}"].setdefault("labels", {}).update(pairs)
            case ["apply", "--server-side", "--force-conflicts", "-f", path, *_]:
                documents = _documents(Path(path).read_text())
                for each in documents:
                    self._apply(each)
                return self._show(documents)
            case ["delete", kinds, "-l", selector, *_]:
                return self._delete(self._found(kinds, selector))
            case ["delete", kind, *words]:
                names = [word for word in words if not word.startswith("-")]
                wanted = [key for key in self.objects if key.partition("/")[2] in names]
                asked = {plural(each) for each in kind.split(",")}
                return self._delete([key for key in wanted if _is_of(key, asked)])
            case _:
                raise LookupError(f"not faked: {arguments}")
        return ""

    def _patch(self, secret: dict[str, Any], path: Path) -> str:
        patch = json.loads(path.read_text())
        if isinstance(patch, list):
            ((operation),) = patch
            assert (operation["op"], operation["path"]) == ("add", "/data")
            new = _decoded(operation["value"])
        else:
            new = secret["data"] | _decoded(patch["data"])
        result = "patched (no change)" if new == secret["data"] else "patched"
        secret["data"] = new
        return result

    def _delete(self, keys: list[str]) -> str:
        for key in keys:
            finalizer = self.held.get(key.partition("/")[0])
            if finalizer is None:
                del self.objects[key]
            else:
                self.objects[key]["finalizers"] = f"{finalizer} foregroundDeletion"
        if left := [key for key in keys if key in self.objects]:
            raise LookupError(
                f"error: timed out waiting for the condition on {left[0]}"
            )
        lines = [f"{key} deleted\n" for key in keys]
        return "".join(lines) or "No resources found\n"

    def _kustomize(self, folder: Path) -> str:
        text = (folder / "kustomization.yaml").read_text()
        return _built(self.kubectl, folder, text).replace(*self.edit)

    def _apply(self, each: dict[str, Any]) -> None:
        old = self.objects.get(_key(each), {"object": {}, "managed": []})
        new, own = copy.deepcopy(each), fields_of(each)
        if "replicas" in old["object"].get("spec", {}):
            new["spec"].setdefault("replicas", old["object"]["spec"]["replicas"])
        others = [e for e in old["managed"] if e["operation"] != "Apply"]
        self.objects[_key(each)] = self.applied[_key(each)] = {
            "labels": each["metadata"].get("labels", {}),
            "object": new,
            "managed": [
                {"manager": "kubectl", "operation": "Apply", "fieldsV1": own},
                *({**e, "fieldsV1": without(e["fieldsV1"], own)} for e in others),
            ],
        }
        for template in each.get("spec", {}).get("volumeClaimTemplates", []):
            claim = f"{template['metadata']['name']}-{each['metadata']['name']}-0"
            labels = template["metadata"]["labels"]
            self.objects[f"persistentvolumeclaim/{claim}"] = {"labels": labels}

    def _found(self, kinds: str, selector: str) -> list[str]:
        wanted = {name.partition(".")[0] for name in kinds.split(",")}
        return [
            key
            for key, value in self.objects.items()
            if _is_of(key, wanted) and matches(selector, value.get("labels", {}))
        ]


def _no() -> NoReturn:
    raise LookupError("Error from server (NotFound): the server could not find it")


def _key(each: dict[str, Any]) -> str:
    return f"{each['kind'].lower()}/{each['metadata']['name']}"


def _decoded(data: dict[str, str]) -> dict[str, str]:
    return {key: base64.b64decode(value).decode() for key, value in data.items()}


class _Built:
    """What real Kustomize made of a text, for the tests that make the same again."""

    results: dict[str, str] = {}


def _built(kubectl: str, folder: Path, text: str) -> str:
    if text not in _Built.results:
        result = subprocess.run(
            [kubectl, "kustomize", str(folder)],
            env={**os.environ, "GOGC": "off"},  # a third of its time
            capture_output=True,
            text=True,
        )
        if result.returncode:
            raise LookupError(result.stderr)
        _Built.results[text] = result.stdout
    return _Built.results[text]


@cache
def _documents(text: str) -> list[dict[str, Any]]:
    return [each for each in yaml.load_all(text, yaml.CSafeLoader) if each]


def _described(arguments: list[str]) -> str:
    """The call, with the name of a secret that is in a file."""
    text = " ".join(arguments)
    if arguments[:2] == ["create", "-f"]:
        text += f" {_key(json.loads(Path(arguments[2]).read_text()))}"
    return text


def _is_of(key: str, plurals: set[str]) -> bool:
    return plural(key.partition("/")[0]) in plurals
