"""The smoke test, against the running system."""

import subprocess
import sys

from local.apps import BACKEND
from tests.e2e.guarded import Guarded


def smoke(url: str, *options: str, token: str = "") -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "app.smoke", url, *options],
        cwd=BACKEND,
        input=token,
        capture_output=True,
        text=True,
    )


def lines_of(run: subprocess.CompletedProcess[str]) -> dict[str, str]:
    """The lines of the table by their promises."""
    return {line.partition("  ")[0]: line for line in run.stdout.splitlines()}


def test_every_promise_is_kept(url: str) -> None:
    run = smoke(url)
    assert run.returncode == 0, run.stdout + run.stderr
    assert "authentication is off" in lines_of(run)["401 without a token"]


def test_every_promise_is_kept_with_a_token(guarded: Guarded) -> None:
    token = guarded.token("smoke", "admin")
    run = smoke(guarded.url, "--token-file", "/dev/stdin", token=token)
    assert run.returncode == 0, run.stdout + run.stderr
    assert " ok " in lines_of(run)["401 without a token"]
    assert token not in run.stdout + run.stderr


def test_a_lacking_scope_is_named(guarded: Guarded) -> None:
    token = guarded.token("smoke", "records:read")
    run = smoke(guarded.url, "--token-file", "/dev/stdin", token=token)
    assert run.returncode == 1
    assert "This needs the scope events:read." in run.stdout


def test_without_a_token_little_can_be_said(guarded: Guarded) -> None:
    run = smoke(guarded.url)
    assert run.returncode == 1
    assert "the other promises need a token" in run.stdout
    assert "Traceback" not in run.stderr
