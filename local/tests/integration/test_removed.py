"""The tests of a part go with the part when a team deletes it."""

import re
import shutil
from pathlib import Path

import pytest

from kit.tests.copies import copy_project, python
from local.apps import ROOT
from local.removed import TESTS, left_out

COLLECT = ("-m", "pytest", "--collect-only", "-q", "-p", "no:cacheprovider", "-m", "")


def test_the_list_names_tests_that_are_there() -> None:
    for part, tests in TESTS.items():
        if (ROOT / part).exists():
            missing = {test for test in tests if not (ROOT / test).exists()}
            # These belong to the demo, which `make remove-demo` removes.
            assert {test for test in missing if "/data/" not in test} == set()


@pytest.mark.timeout(300)  # it collects all tests in a copy
def test_without_any_of_the_parts_all_other_tests_are_found(tmp_path: Path) -> None:
    project = copy_project(tmp_path / "project")
    for part in TESTS:
        shutil.rmtree(project / part)
    path = f"{project}:{project / 'packages/chassis/src'}"
    found = python(project, *COLLECT, "tests", "local/tests", PYTHONPATH=path)
    files = set(re.findall(r"^([\w/]+\.py)::", found, re.MULTILINE))
    assert "tests/unit/test_packaging.py" in files
    assert not {project / file for file in files} & left_out(project)
