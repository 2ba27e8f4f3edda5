"""What a team writes in `e2e/test_two_days.py`, and where the kit's own stories can
run."""

import shutil
import subprocess
from pathlib import Path

import pytest

from kit import service
from kit.commands import ROOT
from kit.project import is_renamed
from kit.tests.copies import HAS_DEMO
from kit.tree import Tree

SNIPPETS = Path(__file__).with_name("e2e") / "two_days"
IS_TAKEN = (
    "pricing" in service.registered(Tree(ROOT))
    or (ROOT / "backend/app/models/order.py").exists()
)

# The reason to skip: the project has another name, no demo, or a service or table with
# these names.
in_the_kit = pytest.mark.skipif(
    is_renamed() or not HAS_DEMO or IS_TAKEN, reason="this is a project, not the kit"
)


def write(project: Path, step: str) -> None:
    """Copy a folder of snippets to their places."""
    folder = SNIPPETS / step
    for path in folder.rglob("*"):
        if path.is_file() and path.suffix in (".py", ".md"):
            place = project / path.relative_to(folder)
            place.parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(path, place)
    if (change := folder / "change.diff").exists():
        command = ["git", "apply", "-p0", str(change)]
        result = subprocess.run(command, cwd=project, capture_output=True, text=True)
        assert result.returncode == 0, f"{change}: {result.stderr}"
