"""The scripts, run against a fake cluster."""

import copy
import os
import re
import signal
import subprocess
from contextlib import suppress
from pathlib import Path
from typing import ClassVar

from tests.unit.kubernetes.fake_kubectl import FakeKubectl, Objects
from tests.unit.kubernetes.manifests import ROOT, SERVICES

KEDA = ("scaledobjects.keda.sh", "triggerauthentications.keda.sh")
OPENSHIFT = ("securitycontextconstraints.security.openshift.io",)
GATEWAY = ("httproutes.gateway.networking.k8s.io",)
NOTHING = "$^"  # matches no call


class Cluster(FakeKubectl):
    """A fake cluster, and a way to run the scripts against it."""

    _installed: ClassVar[Objects] = {}

    def run(
        self, script: str, *arguments: str, yes: bool = True
    ) -> subprocess.CompletedProcess[str]:
        self.calls.clear()
        path = f"{self.folder}:{os.environ['PATH']}"
        process = subprocess.Popen(
            [str(ROOT / script), *(["--yes"] if yes else []), *arguments],
            env={**os.environ, **self.variables, "PATH": path},
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            process_group=0,
        )
        try:
            stdout, stderr = process.communicate(timeout=60)
        finally:  # nothing that it has started is left of one that hangs
            with suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGKILL)
        return subprocess.CompletedProcess(
            process.args, process.returncode, stdout, stderr
        )

    def setup(self, *arguments: str) -> subprocess.CompletedProcess[str]:
        return self.run("kubectl-setup.sh", *arguments)

    def install(self) -> None:
        """What a first run of the script leaves, for tests of what comes after it. The
        run is made once for all of them."""
        if not Cluster._installed:
            ok(self.setup())
            Cluster._installed = copy.deepcopy(self.objects)
        self.objects = copy.deepcopy(Cluster._installed)

    def remove(self, *arguments: str) -> subprocess.CompletedProcess[str]:
        return self.run("kubectl-remove.sh", *arguments)

    @property
    def said(self) -> list[str]:
        """The calls of the last run, without what is the same in each."""
        calls = (" ".join(call) for call in self.calls)
        return [re.sub(r"--(context|namespace) \S+ ", "", call) for call in calls]

    def place(self, pattern: str) -> int:
        """Where in the last run a call stands that has the pattern."""
        places = [n for n, call in enumerate(self.said) if re.search(pattern, call)]
        assert places, f"no call has {pattern}: {self.said}"
        return places[0]

    def secrets(self) -> dict[str, dict[str, str]]:
        return {
            key.removeprefix("secret/"): value["data"]
            for key, value in self.objects.items()
            if key.startswith("secret/")
        }


def ok(result: subprocess.CompletedProcess[str]) -> str:
    assert result.returncode == 0, result.stderr
    return result.stderr


def temporary_folders() -> set[Path]:
    """Those of the script's runs; a run removes its own."""
    return {*(ROOT / ".local").glob("deploy.*")}


def scalers(kind: str) -> set[str]:
    """Those of a kind that services and the worker have."""
    return {f"{kind}/{name}" for name in (*SERVICES, "fastapi-celery-worker")}
