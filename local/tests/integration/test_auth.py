"""`make run ARGS=--auth` that cannot start, and `make token` as Make starts it.

How both work: test_modes.py.
"""

import os
import subprocess

from local.apps import ROOT
from local.tests.integration.launcher import Launcher
from local.tests.troubleshooting import explanation


def test_two_providers_are_one_too_many(launcher: Launcher) -> None:
    issuer = "https://id.example.org"
    launcher.options = ("auth",)
    launcher.env = {"AUTH_ISSUER": issuer}
    launcher.start()
    assert launcher.process.wait(60) == 1
    said = launcher.output.read_text()
    assert issuer in said and "starting" not in said
    assert "remove `AUTH_ISSUER`" in explanation(said)
    assert not launcher.folder.exists()


def test_make_does_not_take_the_user_of_the_shell() -> None:
    """Make passes on what it is given, and the shell's USER is not."""

    def told(*words: str) -> str:
        result = subprocess.run(
            ["make", "--dry-run", "token", *words],
            cwd=ROOT,
            env={**os.environ, "USER": "mallory"},
            capture_output=True,
            text=True,
            check=True,
        )
        return result.stdout.strip()

    assert told() == 'python3 -m local token "" ""'
    assert told("USER=bob", "SCOPES=a b") == 'python3 -m local token "bob" "a b"'
