"""A clone has the line ends that shells, Docker and Compose need."""

import os
import shutil
import subprocess
from pathlib import Path

import pytest

from local.apps import ROOT
from tests.unit.documents import tracked

pytestmark = pytest.mark.skipif(not shutil.which("git"), reason="no git")

# One of each kind; a new kind of file needs no line here: the rule is for all.
TEXT = (
    *("run.sh", "Dockerfile", "Makefile", ".env.example", ".env", "nginx.conf"),
    *("main.py", "compose.yml", "no_ending", "job.template", "config.env", "kit.lua"),
)


def git(folder: Path, *words: str) -> None:
    name = ("-c", "user.name=a", "-c", "user.email=a@example.org")
    plain = {**os.environ, "GIT_CONFIG_GLOBAL": os.devnull, "GIT_CONFIG_NOSYSTEM": "1"}
    subprocess.run(["git", *name, *words], cwd=folder, check=True, env=plain)


def test_a_clone_on_windows_has_unix_line_ends(tmp_path: Path) -> None:
    origin = tmp_path / "origin"
    origin.mkdir()
    git(origin, "init", "-q")
    shutil.copy(ROOT / ".gitattributes", origin)
    for name in TEXT:
        (origin / name).write_bytes(b"one\ntwo\n")
    (origin / "saved_on_windows.sh").write_bytes(b"one\r\ntwo\r\n")
    (origin / "picture.png").write_bytes(b"\x89PNG\r\n\x1a\n")
    git(origin, "add", "--all")
    git(origin, "commit", "-qm", "Begin")
    git(tmp_path, "clone", "-q", "-c", "core.autocrlf=true", "origin", "clone")
    for name in (*TEXT, "saved_on_windows.sh"):
        assert (tmp_path / "clone" / name).read_bytes() == b"one\ntwo\n", name
    assert b"\r\n" in (tmp_path / "clone" / "picture.png").read_bytes()


def test_no_file_of_the_project_has_windows_line_ends() -> None:
    """Also in a project from a zip file, where git changes nothing."""
    wrong = [
        name
        for name in tracked()
        if not name.endswith((".png", ".bat", ".cmd"))
        and (ROOT / name).is_file()
        and b"\r\n" in (ROOT / name).read_bytes()
    ]
    assert not wrong
