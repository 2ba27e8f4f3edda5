"""Tests of the project pass with generated code in it. `make kit` runs all of them."""

import subprocess
from pathlib import Path

import pytest

from kit.tests.copies import OTHER, SERVICE
from kit.tests.e2e.runs import LOOKING, kit, pytest_in


@pytest.mark.timeout(300)  # many tests at once
def test_generated_services_are_like_the_others(project: Path) -> None:
    subprocess.run(["git", "init", "-q"], cwd=project, check=True)
    kit(project, "new-service", SERVICE, "--events")
    kit(project, "new-service", OTHER)
    there = [path for path in LOOKING if (project / path).exists()]
    pytest_in(project, project, *there)
