"""Alembic works wherever the project is."""

import shutil
import subprocess
import sys
from pathlib import Path

BACKEND = Path(__file__).parents[2]


def test_alembic_reads_its_files_in_an_odd_path(tmp_path: Path) -> None:
    """Its configuration expands %, and with it the path of its own folder."""
    folder = tmp_path / "50% of $it" / "backend"
    shutil.copytree(BACKEND / "alembic", folder / "alembic")
    for name in ("alembic.ini", "pyproject.toml"):
        shutil.copy(BACKEND / name, folder)
    command = [sys.executable, "-m", "alembic", "heads"]
    done = subprocess.run(command, cwd=folder, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert "(head)" in done.stdout
