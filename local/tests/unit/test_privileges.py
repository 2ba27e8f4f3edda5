"""Where PostgreSQL's binaries are run from."""

import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest

from local.servers import privileges


@pytest.fixture
def folder(tmp_path: Path) -> Iterator[Path]:
    """The server's data; what is copied for it is removed afterwards."""
    yield tmp_path
    shutil.rmtree(privileges.private_folder(tmp_path), ignore_errors=True)


@pytest.mark.parametrize("name", ['a "b"', "a$b", "a`b`", "a\\b"])
def test_initdb_never_runs_from_a_path_that_a_shell_expands(
    folder: Path, name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    installation = folder / name / "wheel" / "pginstall"
    (installation / "bin").mkdir(parents=True)
    program = installation / "bin" / "postgres"
    program.write_text("#!/bin/sh\n")
    program.chmod(0o755)
    monkeypatch.setattr(privileges, "find_installation", lambda: installation)
    runner = privileges.choose_runner(folder)
    assert not set('"$`\\') & set(str(runner.binaries))
    assert (runner.binaries / "postgres").read_text() == program.read_text()


@pytest.mark.parametrize("name", ["a b", "it's", "é", "50%", "x" * 200])
def test_other_paths_are_used_as_they_are(
    folder: Path, name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    installation = folder / name / "pginstall"
    (installation / "bin").mkdir(parents=True)
    (installation / "bin" / "postgres").write_text("#!/bin/sh\n")
    (installation / "bin" / "postgres").chmod(0o755)
    monkeypatch.setattr(privileges, "find_installation", lambda: installation)
    assert privileges.choose_runner(folder).binaries == installation / "bin"
