"""A copy of the project that a test may change, and its contents."""

import filecmp
import os
import shutil
import subprocess
import sys
from pathlib import Path

from kit import commands, demo, service
from kit.project import is_renamed
from kit.rename import project_files
from kit.tree import SKIPPED, Tree

Snapshot = dict[str, tuple[int, bytes]]

# No team uses such names, so they are free in every copy, whatever it contains and
# whatever its name.
SERVICE, OTHER, RESOURCE, TASK = "trial-price", "trial_stock", "trial-bill", "trial-job"
ACME = "acme-orders"  # the project of docs/TUTORIAL.md, which no project keeps
PROJECT, OTHER_PROJECT = "trial-orders" if is_renamed() else ACME, "trial-shop"

# An identity for git, independent of the machine's configuration.
IDENTITY = {
    **{f"GIT_{who}_NAME": "somebody" for who in ("AUTHOR", "COMMITTER")},
    **{f"GIT_{who}_EMAIL": "somebody@example.org" for who in ("AUTHOR", "COMMITTER")},
    "GIT_CONFIG_GLOBAL": os.devnull,
}

HAS_DEMO = demo.NAME.snake in service.registered(Tree(commands.ROOT))


def copy_project(target: Path) -> Path:
    """Copy the files that git would track, including a team's additions."""
    for path in project_files(Tree(commands.ROOT)):
        (target / path).parent.mkdir(parents=True, exist_ok=True)
        shutil.copy2(commands.ROOT / path, target / path)
    return target


def restore(copy: Path, original: Path) -> None:
    """Make a changed copy as it was, in a tenth of the time that a new one takes."""
    folders = [filecmp.dircmp(original, copy, ignore=[], hide=[])]
    for folder in folders:
        before, here = Path(folder.left), Path(folder.right)
        for name in [*folder.right_only, *folder.common_funny]:
            path = here / name
            if path.is_dir() and not path.is_symlink():
                shutil.rmtree(path)
            else:
                path.unlink()
        for name in [*folder.left_only, *folder.common_funny, *folder.diff_files]:
            if (before / name).is_dir():
                shutil.copytree(before / name, here / name)
            else:
                shutil.copy2(before / name, here / name)
        for name in folder.common:
            (here / name).chmod((before / name).stat().st_mode)
        folders += folder.subdirs.values()


def snapshot(root: Path) -> Snapshot:
    """Mode and bytes of every file; folders end with a slash."""
    found: Snapshot = {}
    for place, folders, names in os.walk(root):
        folders[:] = set(folders) - SKIPPED
        for name in {*folders, *names} - SKIPPED:
            path = f"{place}/{name}"
            relative = path.removeprefix(f"{root}/")
            mode = os.stat(path).st_mode
            if name in folders:
                found[f"{relative}/"] = (mode, b"")
            else:
                with open(path, "rb") as file:
                    found[relative] = (mode, file.read())
    return found


def python(root: Path, *arguments: str, **env: str) -> str:
    """Run our Python in a copy, with the copy's modules and our packages. Returns the
    output."""
    result = subprocess.run(
        [sys.executable, *arguments],
        cwd=root,
        env={**os.environ, "PYTHONPATH": str(root), **env},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )
    assert result.returncode == 0, result.stdout
    return result.stdout
