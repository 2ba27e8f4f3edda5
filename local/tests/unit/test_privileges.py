"""Where PostgreSQL's binaries are run from."""

import os
import pwd
import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest

from local.process import ProcessFailed
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


@pytest.fixture
def wheel(folder: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An installation with a program that works."""
    installation = folder / "wheel" / "pginstall"
    (installation / "bin").mkdir(parents=True)
    (installation / "bin" / "postgres").write_text("#!/bin/sh\n")
    (installation / "bin" / "postgres").chmod(0o755)
    monkeypatch.setattr(privileges, "find_installation", lambda: installation)
    return installation


@pytest.fixture
def unshare(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A program in its place that makes no namespace; tests say what it does."""
    program = tmp_path / "programs" / "unshare"
    program.parent.mkdir()
    program.write_text('#!/bin/sh\nwhile [ "$1" != -- ]; do shift; done\nshift\n"$@"')
    program.chmod(0o755)
    monkeypatch.setenv("PATH", f"{program.parent}:{os.environ['PATH']}")
    return program


@pytest.mark.parametrize("uid", [0, 4_000_000_000])
def test_who_cannot_run_it_runs_it_in_a_namespace(
    folder: Path, wheel: Path, unshare: Path, monkeypatch: pytest.MonkeyPatch, uid: int
) -> None:
    """Root, and a user without a name."""
    monkeypatch.setattr(os, "geteuid", lambda: uid)
    runner = privileges.choose_runner(folder)
    nobody = pwd.getpwnam("nobody")
    users = (f"--map-user={nobody.pw_uid}", f"--map-group={nobody.pw_gid}")
    assert set(users) < set(runner.prefix) and runner.prefix[-1] == "--"
    assert (runner.binaries, runner.folder) == (wheel / "bin", folder)


def test_a_namespace_that_may_not_write_to_the_data_is_not_used(
    folder: Path, wheel: Path, unshare: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(os, "geteuid", lambda: 4_000_000_000)
    (data := folder / "data").mkdir()
    refused = f'[ "$(pwd)" != "{data}" ] || exit 1\n"$@"'
    unshare.write_text(unshare.read_text().replace('"$@"', refused))
    with pytest.raises(ProcessFailed, match="not allowed here"):
        privileges.choose_runner(data)


def test_without_namespaces_each_stack_has_a_private_folder(
    folder: Path, wheel: Path, unshare: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    unshare.write_text("#!/bin/sh\nexit 1\n")
    monkeypatch.setattr(os, "geteuid", lambda: 0)
    monkeypatch.setattr(privileges, "_own", lambda home, _: home.mkdir(exist_ok=True))
    stacks = [folder / "one", folder / "two"]
    homes = [privileges.private_folder(stack) for stack in stacks]
    for stack in stacks:
        stack.mkdir()
    try:
        runners = [privileges.choose_runner(stack) for stack in stacks]
        assert [runner.folder for runner in runners] == homes
        assert {runner.uid for runner in runners} == {pwd.getpwnam("nobody").pw_uid}
    finally:
        for home in homes:
            shutil.rmtree(home, ignore_errors=True)
