"""git, for commands that need a history."""

import subprocess
from pathlib import Path

from kit.tree import KitError


def git(root: Path, *words: str, text: str = "") -> str:
    """Run git with a text as input; returns its output. Raises KitError."""
    try:
        result = subprocess.run(
            ["git", *words], cwd=root, input=text, capture_output=True, text=True
        )
    except FileNotFoundError as error:
        raise KitError("This command needs git") from error
    if result.returncode:
        raise KitError(
            (result.stderr + result.stdout).strip() or f"git {words[0]} failed"
        )
    return result.stdout.strip()


def succeeds(root: Path, *words: str) -> bool:
    """Whether git succeeds."""
    try:
        git(root, *words)
    except KitError:
        return False
    return True


def require_clean(root: Path) -> None:
    """Raise KitError if there are uncommitted changes."""
    if git(root, "status", "--porcelain"):
        raise KitError("There are uncommitted changes: commit or stash them first")
