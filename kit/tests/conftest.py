"""A fresh copy of the project for each test, and copies that tests share."""

import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from kit.tests.copies import PROJECT, SERVICE, copy_project, python, restore

# What a team writes in `e2e/test_two_days.py`; it runs in a copy.
collect_ignore = ["e2e/two_days"]


@pytest.fixture
def project(original: Path, spare: Path) -> Iterator[Path]:
    yield spare
    restore(spare, original)


@pytest.fixture(scope="session")
def spare(original: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The copy that tests change one after another."""
    return shutil.copytree(original, tmp_path_factory.mktemp("spare") / "project")


# Renaming takes seconds: it is done once. Tests only read these three; to change one,
# they copy it.
@pytest.fixture(scope="session")
def original(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """What git would track."""
    return copy_project(tmp_path_factory.mktemp("original") / "project")


@pytest.fixture(scope="session")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A copy under git with a service of its own, and files that git ignores."""
    project = copy_project(tmp_path_factory.mktemp("made") / "project")
    subprocess.run(["git", "init", "-q"], cwd=project, check=True)
    (project / ".env").write_text("DATABASE_URL=x/fastapi_db\n")
    python(project, "-m", "kit", "new-service", SERVICE)
    return project


@pytest.fixture(scope="session")
def made_renamed(made: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The same, renamed by its own kit."""
    project = shutil.copytree(made, tmp_path_factory.mktemp("renamed") / "project")
    python(project, "-m", "kit", "rename", PROJECT)
    return project
