"""The project's root: a reader sees on one screen what there is."""

import subprocess

import pytest

from local.apps import ROOT
from tests.unit.documents import tracked

MOST = 25


def test_the_root_is_small() -> None:
    """What no tool or habit looks for here has a folder of its own."""
    entries = {name.split("/")[0] for name in tracked()}
    entries.discard("CHANGELOG-KIT.md")  # which `make rename` adds
    seen = sorted(name for name in entries if not name.startswith("."))
    assert len(seen) <= MOST, seen


@pytest.mark.skipif(not (ROOT / ".git").exists(), reason="no clone")
def test_no_commit_takes_a_secret_or_data() -> None:
    private = [".env", "backend/.env", ".local/tls/ca.key", "backups/x/base", ".venv/x"]
    command = ["git", "check-ignore", "--no-index", *private]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True)
    assert done.stdout.split() == private
