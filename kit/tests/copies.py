"""A copy of the project that a test may change, and its contents."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

from kit import commands, demo, service
from kit.rename import project_files
from kit.tree import SKIPPED, Tree

Snapshot = dict[str, tuple[int, bytes]]

# No team uses such names, so they are free in every copy, whatever it contains and
# whatever its name.
SERVICE, OTHER, RESOURCE, TASK = "trial-price", "trial_stock", "trial-bill", "trial-job"
PROJECT, OTHER_PROJECT = "trial-orders", "trial-shop"
ACME = "acme-orders"  # the project of docs/TUTORIAL.md

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


def snapshot(root: Path) -> Snapshot:
    """Mode and bytes of every file; folders end with a slash."""
    found: Snapshot = {}
    for path in Tree(root).files("."):
        file = root / path
        found[path] = (file.stat().st_mode, file.read_bytes())
    for folder in root.rglob("*/"):
        found.setdefault(f"{folder.relative_to(root)}/", (folder.stat().st_mode, b""))
    return {p: state for p, state in found.items() if not SKIPPED & set(p.split("/"))}


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
