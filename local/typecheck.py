"""mypy over every component, with one cache.

mypy spends most of its time on the packages that the components share, so the first
component reads them, and the others find them in the cache. mypy locks the cache, so
the components come one after another.
"""

import os
import subprocess
import sys
from collections.abc import Iterable
from pathlib import Path

from local.apps import BACKEND, ROOT

NAMES = ["app", "src", "main.py", "rabbitmq_client.py", "tests"]
NAMES += ["env.py", "autogeneration.py", "versions"]
ROOT_NAMES = ["local", "tests", "bench", "deploy", "kit"]
CACHE = ".mypy_cache"


def check(folders: Iterable[Path], root: Path = ROOT) -> int:
    """Check each folder on its own; returns the worst exit code."""
    return max(_check(folder, root) for folder in folders)


def _check(folder: Path, root: Path) -> int:
    names = ROOT_NAMES if folder == root else NAMES
    # A module's name begins at one of these.
    sources = [root, folder / "src"]
    sources += [BACKEND] if BACKEND in folder.parents else []
    options = ["--no-error-summary", "--cache-dir", str(root / CACHE)]
    options += ["--config-file", os.path.relpath(ROOT / "pyproject.toml", folder)]
    # Whole paths, because the cache takes files for the same if paths, sizes and times
    # agree, and these may agree in two components of a fresh clone.
    targets = [folder / name for name in names if _holds_python(folder / name)]
    print(f"mypy {folder.relative_to(root)}", flush=True)
    return subprocess.run(
        [sys.executable, "-m", "mypy", *options, *targets],
        cwd=folder,
        env={
            **os.environ,
            "PYTHONPATH": os.pathsep.join(map(str, [folder, root])),
            "MYPYPATH": os.pathsep.join(map(str, sources)),
        },
    ).returncode


def _holds_python(path: Path) -> bool:
    return path.suffix == ".py" and path.exists() or any(path.rglob("*.py"))


if __name__ == "__main__":
    from local.suite import components

    raise SystemExit(check([ROOT, *components()[:-1], BACKEND / "alembic"]))
