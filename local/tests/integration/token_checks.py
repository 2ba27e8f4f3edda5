"""What a stack with `--auth` and `make token` do, as a user sees it. With each kind of
endpoint: tests/e2e/data/test_local_issuer.py."""

import json
import os
import re
import shlex
import signal
import subprocess
import sys
import urllib.error
import urllib.request

import pytest

from local import tokens
from local.apps import ROOT
from local.registry import registered
from local.tests.integration.launcher import Launcher
from local.tests.troubleshooting import explanation

RECORDS = "/api/v1/database/records"

# `local token` of the launcher's folder.
MAIN = (
    "import sys, pathlib; from local.tokens import show\n"
    "sys.exit(show(sys.argv[2:], pathlib.Path(sys.argv[1])))"
)


def status_of(url: str, token: str = "") -> int:
    request = urllib.request.Request(url)
    if token:
        request.add_header("Authorization", f"Bearer {token}")
    try:
        with urllib.request.urlopen(request, timeout=20) as answer:
            return int(answer.status)
    except urllib.error.HTTPError as error:
        error.close()
        return error.code


def assert_tokens_work(launcher: Launcher, capsys: pytest.CaptureFixture[str]) -> None:
    """The launcher is up, with an issuer of its own."""

    def print_token(*arguments: str) -> str:
        assert tokens.show(list(arguments), launcher.folder) == 0
        said = capsys.readouterr()
        assert not said.err
        return said.out.removesuffix("\n")

    records = launcher.url() + RECORDS
    assert status_of(records) == 401
    token = print_token()
    assert re.fullmatch(r"[\w-]+\.[\w-]+\.[\w-]+", token)
    assert status_of(records, token) == 200
    assert status_of(records, print_token("bob", "metrics:read")) == 403
    assert status_of(records, print_token("bob", "metrics:read", "admin")) == 200
    assert tokens.show(["bob", "no:such"], launcher.folder) == 1
    assert "records:read" in capsys.readouterr().err
    if "data" in registered():
        run_the_printed_request(launcher)

    os.kill(launcher.named("issuer"), signal.SIGKILL)
    launcher.wait_for("(issuer is back)")
    assert status_of(records, token) == 200
    assert status_of(records, print_token("carol")) == 200


def assert_no_tokens(launcher: Launcher, capsys: pytest.CaptureFixture[str]) -> None:
    """The launcher has ended."""
    assert "start that" in explanation(tokens.NOT_RUNNING)
    assert tokens.show([], launcher.folder) == 1
    assert capsys.readouterr() == ("", f"{tokens.NOT_RUNNING}\n")


def run_the_printed_request(launcher: Launcher) -> None:
    """In a shell, in another folder."""
    lines = launcher.wait_for(r"Try it:\n\n((?:  .*\n)+)")
    words = shlex.join([sys.executable, "-c", MAIN, str(launcher.folder)])
    line = lines.replace(".venv/bin/python -m local token", words)
    assert line != lines and f"cd {shlex.quote(str(ROOT))} &&" in line
    result = subprocess.run(
        ["sh", "-c", line], cwd="/", capture_output=True, text=True, timeout=60
    )
    assert result.returncode == 0, result.stderr
    assert json.loads(result.stdout)["outcome"]["output"] == "HELLO WORLD"
