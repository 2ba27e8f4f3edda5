"""docs/OWN-EVENTS.md as a reader follows it: the code passes every check and test."""

import subprocess
from pathlib import Path

import pytest

from kit.tests.e2e.runs import BACKEND, check, kit, pytest_in
from kit.tests.e2e.tutorial import Code, steps
from kit.tests.team import in_the_kit
from kit.tests.unit.test_own_events_page import TEXT


@pytest.mark.kit
@pytest.mark.timeout(600)
@in_the_kit
def test_the_page_works(project: Path) -> None:
    subprocess.run(["git", "init", "-q"], cwd=project, check=True)
    kit(project, "new-resource", "invoice")
    for step in steps(TEXT):
        if isinstance(step, Code):
            step.apply(project)
    check(project)
    own = ["test_invoice", "test_asyncapi"]
    tests = [f"tests/integration/{name}.py" for name in own]
    pytest_in(project / "backend", project, *BACKEND, *tests)
