"""A fresh copy of the project for each test."""

from pathlib import Path

import pytest

from kit.tests.copies import copy_project


@pytest.fixture
def project(tmp_path: Path) -> Path:
    return copy_project(tmp_path / "project")
