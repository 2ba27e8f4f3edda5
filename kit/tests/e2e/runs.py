"""Checks and tests of a copy, as `make` runs them."""

import os
import shutil
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from kit.tests.copies import python
from local.apps import ROOT
from local.typecheck import CACHE

# The backend's tests that look at every service, endpoint, task or setting.
BACKEND = ["config", "names", "openapi", "settings_files"]
BACKEND += ["services_found", "tasks_found"]
BACKEND = [f"tests/unit/test_{name}.py" for name in BACKEND]

# Tests of the root that look at every service, and take seconds.
LOOKING = ["services", "network", "capacity", "compose"]
LOOKING = [f"tests/unit/kubernetes/test_{name}.py" for name in LOOKING]
LOOKING += [f"tests/unit/test_{name}.py" for name in ("compose_files", "build_context")]
LOOKING += ["tests/unit/test_documents.py"]

DOCUMENTS = "test_the_document_is_up_to_date"
COMMAND = "import sys; from local import commands as c; "
COMMAND += "sys.exit(c.run(sys.argv[1], sys.argv[2:]))"

# Variables of the make that started this test, and of its Python.
NOT_OURS = ("MAKE", "MFLAGS", "ARGS", "PYTHON", "VIRTUAL_ENV")
ENVIRONMENT = {k: v for k, v in os.environ.items() if not k.startswith(NOT_OURS)}


def kit(project: Path, *words: str) -> None:
    """Run a command of the generators."""
    python(project, "-m", "kit", *words)


def make(project: Path, *words: str) -> str:
    """Run `python3 -m local`, without its installation step."""
    return python(project, "-c", COMMAND, *words)


def side_by_side(*jobs: Callable[[], None]) -> None:
    """Run each in a thread."""
    with ThreadPoolExecutor() as pool:
        for job in [pool.submit(each) for each in jobs]:
            job.result()


def check(project: Path) -> None:
    """Run `make check`, with mypy's cache of the project."""
    known, copy = ROOT / CACHE, project / CACHE
    if known.is_dir() and not copy.exists():
        shutil.copytree(known, copy)
    make(project, "check")


def pytest_in(folder: Path, root: Path, *paths: str) -> None:
    """Run tests of the copy. Servers, if any, come from its own `local`."""
    words = ["-m", "pytest", "-q", "-p", "no:cacheprovider", *paths]
    path = f"{folder}:{root}:{root / 'packages/chassis/src'}"
    python(folder, *words, PYTHONPATH=path)


def write_documents(project: Path) -> None:
    """Run `make docs` for the documents that are made from settings. A project has its
    own packages in `.venv`. A copy has ours, and only its tests find its chassis."""
    words = ["-m", "pytest", "-q", "-p", "no:cacheprovider", "tests/unit"]
    folder = project / "backend"
    path = f"{folder}:{project}:{project / 'packages/chassis/src'}"
    python(folder, *words, "-k", DOCUMENTS, PYTHONPATH=path, UPDATE_DOCS="1")
