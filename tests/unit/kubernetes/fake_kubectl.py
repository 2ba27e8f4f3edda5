"""A kubectl that answers out of memory instead of a cluster, and writes down its calls.

The program on PATH is a few lines of shell that hand their arguments to this process
through a pipe: a Python for each of the many calls would take minutes.
"""

import base64
import json
import os
import re
import subprocess
import threading
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from typing import Any

import yaml

PROGRAM = """\
#!/bin/sh
printf '%s\\037' "$@" >"{folder}/request"
{{
    IFS= read -r code
    if [ "$code" = 0 ]; then cat; else cat >&2; fi
}} <"{folder}/reply"
exit "$code"
"""

Objects = dict[str, dict[str, Any]]


@dataclass
class FakeKubectl:
    """The cluster, and what it is asked. `fail` is a pattern of the call that fails,
    `crds` are the installed kinds, `job` is how each Job ends, `log` what its
    pods print, `applied` what was ever applied, `variables` are those of the
    scripts."""

    folder: Path
    kubectl: str
    calls: list[list[str]] = field(default_factory=list)
    objects: Objects = field(default_factory=dict)
    fail: str = "$^"
    crds: tuple[str, ...] = ()
    version: str = "v1.33.2"
    job: str = "Complete"
    log: str = ""
    applied: Objects = field(default_factory=dict)
    variables: dict[str, str] = field(default_factory=dict)

    def __post_init__(self) -> None:
        for name in ("request", "reply"):
            os.mkfifo(self.folder / name)
        program = self.folder / "kubectl"
        program.write_text(PROGRAM.format(folder=self.folder))
        program.chmod(0o755)
        self._thread = threading.Thread(target=self._serve, daemon=True)
        self._thread.start()

    def close(self) -> None:
        """Ends the thread."""
        (self.folder / "request").write_text("")
        self._thread.join(5)

    def _serve(self) -> None:
        while request := (self.folder / "request").read_text():
            arguments = request.split("\x1f")[:-1]
            self.calls.append(arguments)
            try:
                code, text = 0, self._answer(_without_globals(arguments))
            except LookupError as error:
                code, text = 1, str(error)
            (self.folder / "reply").write_text(f"{code}\n{text}")

    def _answer(self, arguments: list[str]) -> str:
        """Standard output. Raises LookupError when the command fails."""
        if arguments[0] == "kustomize":
            return self._kustomize(Path(arguments[1]))
        if re.search(self.fail, " ".join(arguments)):
            raise LookupError("injected failure")
        match arguments:
            case ["config", "current-context"]:
                return "kind-test"
            case ["get", "--raw", "/version"]:
                return f'{{"gitVersion": "{self.version}"}}'
            case ["get", "crd", name]:
                return self.crds[self.crds.index(name)] if name in self.crds else _no()
            case ["get", "ingressclass" | "storageclass" | "apiservice", *_]:
                return 'is-default-class: "true"'
            case ["get", "job", _, "-o", _]:
                return self.job
            case ["get", "namespace" | "secret" as kind, name]:
                return name if f"{kind}/{name}" in self.objects else _no()
            case ["get", "secret", name, "-o", key]:
                data = self.objects.get(f"secret/{name}", {}).get("data", {})
                value = data.get(key.removeprefix("jsonpath={.data.").rstrip("}"), "")
                return base64.b64encode(value.encode()).decode()
            case ["get", kinds, "-l", selector, "-o", "name", *_]:
                return "".join(f"{key}\n" for key in self._found(kinds, selector))
            case ["rollout", "status", target, _]:
                return target if target in self.objects else _no()
            case ["get", "deployment" | "service" as kind, name, "-o", path]:
                if f"{kind}/{name}" not in self.objects:
                    return _no()
                return _value(self.objects[f"{kind}/{name}"], path)
            case ["logs", *_]:
                return self.log
            case ["get" | "describe" | "exec", *_]:
                return ""
            case _:
                return self._change(arguments)

    def _change(self, arguments: list[str]) -> str:
        match arguments:
            case ["create", "namespace", name]:
                self.objects[f"namespace/{name}"] = {}
            case ["create", "secret", "generic", name, *files]:
                paths = [Path(file.removeprefix("--from-file=")) for file in files]
                data = {path.name: path.read_text() for path in paths}
                self.objects[f"secret/{name}"] = {"data": data}
            case ["patch", "secret", name, "--patch-file", path]:
                added = json.loads(Path(path).read_text())["data"]
                self.objects[f"secret/{name}"]["data"] |= {
                    key: base64.b64decode(value).decode()
                    for key, value in added.items()
                }
            case ["label", kind, name, *labels]:
                pairs = dict(label.split("=") for label in labels)
                self.objects[f"{kind}/{name}"].setdefault("labels", {}).update(pairs)
            case ["apply", "-f", path]:
                return self._apply(Path(path))
            case ["delete", kinds, "-l", selector, *_]:
                for key in self._found(kinds, selector):
                    del self.objects[key]
            case ["delete", *words]:
                kind, *names = [word for word in words if not word.startswith("-")]
                for name in names:
                    self.objects.pop(f"{kind}/{name}", None)
            case _:
                raise LookupError(f"not faked: {arguments}")
        return ""

    def _kustomize(self, folder: Path) -> str:
        text = (folder / "kustomization.yaml").read_text()
        return _built(self.kubectl, folder, text)

    def _apply(self, path: Path) -> str:
        lines = ""
        for each in _documents(path.read_text()):
            key = f"{each['kind'].lower()}/{each['metadata']['name']}"
            new = {"labels": each["metadata"].get("labels", {}), "object": each}
            state = "unchanged" if self.objects.get(key) == new else "configured"
            lines += f"{key} {state if key in self.objects else 'created'}\n"
            self.objects[key] = self.applied[key] = new
            for template in each.get("spec", {}).get("volumeClaimTemplates", []):
                claim = f"{template['metadata']['name']}-{each['metadata']['name']}-0"
                labels = template["metadata"]["labels"]
                self.objects[f"persistentvolumeclaim/{claim}"] = {"labels": labels}
        return lines

    def _found(self, kinds: str, selector: str) -> list[str]:
        wanted = {plural.partition(".")[0] for plural in kinds.split(",")}
        return [
            key
            for key, value in self.objects.items()
            if _is_of(key.partition("/")[0], wanted)
            and _matches(selector, value.get("labels", {}))
        ]


def _no() -> str:
    raise LookupError("not found")


def _value(stored: dict[str, Any], path: str) -> str:
    """What a path such as `jsonpath={.spec.ports[0].name}` leads to."""
    found = stored["object"]
    for name, place in re.findall(r"\.(\w+)|\[(\d+)\]", path):
        found = found[int(place)] if place else found.get(name, {})
    return str(found or "")


class _Built:
    """What real Kustomize made of a text, for the tests that make the same again."""

    results: dict[str, str] = {}


def _built(kubectl: str, folder: Path, text: str) -> str:
    if text not in _Built.results:
        command = [kubectl, "kustomize", str(folder)]
        result = subprocess.run(command, capture_output=True, text=True)
        if result.returncode:
            raise LookupError(result.stderr)
        _Built.results[text] = result.stdout
    return _Built.results[text]


@cache
def _documents(text: str) -> list[dict[str, Any]]:
    return [each for each in yaml.load_all(text, yaml.CSafeLoader) if each]


def _without_globals(arguments: list[str]) -> list[str]:
    rest = list(arguments)
    for name in ("--context", "--namespace"):
        if name in rest:
            place = rest.index(name)
            del rest[place : place + 2]
    return rest


def _is_of(kind: str, plurals: set[str]) -> bool:
    plural = kind + ("es" if kind.endswith("s") else "s")
    return bool({plural, re.sub("ys$", "ies", plural)} & plurals)


def _matches(selector: str, labels: dict[str, str]) -> bool:
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
