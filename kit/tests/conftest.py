"""A fresh copy of the project for each test."""

from pathlib import Path

import pytest

from kit.tests.copies import copy_project

# What a team writes in `e2e/test_two_days.py`; it runs in a copy.
collect_ignore = ["e2e/two_days"]


@pytest.fixture
def project(tmp_path: Path) -> Path:
    return copy_project(tmp_path / "project")
