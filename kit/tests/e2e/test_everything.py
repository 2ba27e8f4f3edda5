"""`make test` of a team's project: all passes beside what the generators add."""

import subprocess
from pathlib import Path

import pytest

from kit.tests.copies import HAS_DEMO, IDENTITY, OTHER_PROJECT, PROJECT
from kit.tests.e2e.runs import ENVIRONMENT, kit

# Its own generator tests use the other names in `copies`. Lists are often sorted: one
# service comes before the demo's, one after it, and so do the two projects' names.
SERVICES = ("a-trial", "z-trial")
RESOURCE, TASK = "own-trial", "own-job"


@pytest.mark.kit
@pytest.mark.timeout(3_600)
@pytest.mark.parametrize(
    "demo",
    [
        pytest.param(HAS_DEMO, id="as it is"),
        pytest.param(
            False,
            id="without the demo",
            marks=pytest.mark.skipif(not HAS_DEMO, reason="it was taken out before"),
        ),
    ],
)
def test_all_tests_of_a_project_pass(project: Path, demo: bool) -> None:
    if HAS_DEMO and not demo:
        kit(project, "remove-demo")
    kit(project, "rename", PROJECT if demo else OTHER_PROJECT)
    kit(project, "new-service", SERVICES[0], "--events")
    kit(project, "new-service", SERVICES[1])
    kit(project, "new-resource", RESOURCE)
    kit(project, "new-task", TASK)
    result = subprocess.run(
        "git init -q && git add --all && git commit -qm all && make test",
        shell=True,
        cwd=project,
        env=ENVIRONMENT | IDENTITY,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )
    assert result.returncode == 0, result.stdout
