"""The scripts, run against a fake cluster."""

import os
import re
import subprocess

from tests.unit.kubernetes.fake_kubectl import FakeKubectl
from tests.unit.kubernetes.manifests import ROOT

KEDA = ("scaledobjects.keda.sh", "triggerauthentications.keda.sh")
OPENSHIFT = ("securitycontextconstraints.security.openshift.io",)
GATEWAY = ("httproutes.gateway.networking.k8s.io",)
NOTHING = "$^"  # matches no call


class Cluster(FakeKubectl):
    """A fake cluster, and a way to run the scripts against it."""

    def run(
        self, script: str, *arguments: str, yes: bool = True
    ) -> subprocess.CompletedProcess[str]:
        self.calls.clear()
        return subprocess.run(
            [str(ROOT / script), *(["--yes"] if yes else []), *arguments],
            env={
                **os.environ,
                **self.variables,
                "PATH": f"{self.folder}:{os.environ['PATH']}",
            },
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=60,
        )

    def setup(self, *arguments: str) -> subprocess.CompletedProcess[str]:
        return self.run("kubectl-setup.sh", *arguments)

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
