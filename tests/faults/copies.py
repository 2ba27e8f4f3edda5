"""Copies of the project, to be broken."""

import shutil
import subprocess
from pathlib import Path

from local.apps import ROOT
from local.state import LOCAL

FOLDER = LOCAL / "mutate"


def copy_project(target: Path) -> Path:
    """Copy what git tracks or would track, and borrow `.venv`. Times of files stay:
    mutmut compares them."""
    shutil.rmtree(target, ignore_errors=True)
    command = ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"]
    listed = subprocess.check_output(command, cwd=ROOT, text=True)
    for name in filter(None, listed.split("\0")):
        if (ROOT / name).is_file():  # not deleted since
            (target / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy2(ROOT / name, target / name, follow_symlinks=False)
    (target / ".venv").symlink_to(ROOT / ".venv")
    return target


def python(copy: Path) -> str:
    """Python that imports the packages of the copy."""
    return str(copy / ".venv" / "bin" / "python")
