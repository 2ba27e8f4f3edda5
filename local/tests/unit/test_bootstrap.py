"""When requirements are installed, and when that is skipped."""

import fcntl
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from local import __main__ as entry
from local import bootstrap
from local.tests.troubleshooting import explanation, rows


@pytest.fixture
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A project in a folder with a space; pip and venv are fakes."""
    root = tmp_path / "a project"
    for folder in ("packages/shared", "backend", "services/one", "local", "."):
        (root / folder).mkdir(parents=True, exist_ok=True)
        name = "requirements-dev.txt" if folder == "." else "requirements.txt"
        (root / folder / name).write_text(f"{folder}\n")
    monkeypatch.setattr(bootstrap, "ROOT", root)
    monkeypatch.setattr(bootstrap, "VENV", root / ".venv")
    monkeypatch.setattr(bootstrap, "PYTHON", root / ".venv" / "bin" / "python")
    return root


@pytest.fixture
def ran(project: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[list[str]]:
    """The commands that ran: `venv`, or the requirement files given to pip. What pip
    installs without compiling must be compiled next."""
    calls: list[str] = []
    waiting: list[str] = []

    def run(command: list[str], **more: Any) -> subprocess.CompletedProcess[str]:
        if command[2] == "venv":
            calls.append("venv")
            binaries = project / ".venv" / "bin"
            binaries.mkdir(parents=True)
            (project / ".venv/lib/python3.11/site-packages").mkdir(parents=True)
            (binaries / "python").touch()
        elif command[2] == "ensurepip":
            binaries = project / ".venv" / "bin"
            (binaries / "pip").write_text(f"#!{binaries}/python\n")
        elif command[2] == "compileall":
            folder = project / ".venv/lib/python3.11/site-packages"
            assert command[3:] == ["-qq", "-j", "0", str(folder)]
            assert waiting.pop()
        else:
            assert "--require-hashes" in command and more["env"]["PIP_USER"] == "0"
            waiting.extend(word for word in command if word == "--no-compile")
            files = [word for word in command if word.endswith(".txt")]
            calls.append(" ".join(str(Path(f).relative_to(project)) for f in files))
        return subprocess.CompletedProcess(command, 0, "", "")

    monkeypatch.setattr(subprocess, "run", run)
    yield calls
    assert not waiting


NEW_PIP = "local/requirements-pip.txt"
RUNTIME = "packages/shared/requirements.txt backend/requirements.txt "
RUNTIME += "services/one/requirements.txt local/requirements.txt"


def test_requirements_are_installed_once(ran: list[str]) -> None:
    for _ in range(3):
        bootstrap.ensure(development=False)
    assert ran == ["venv", NEW_PIP, RUNTIME]


def test_tools_are_installed_in_addition(ran: list[str]) -> None:
    bootstrap.ensure(development=False)
    bootstrap.ensure(development=True)
    bootstrap.ensure(development=True)
    bootstrap.ensure(development=False)
    assert ran == ["venv", NEW_PIP, RUNTIME, f"{RUNTIME} requirements-dev.txt"]


def test_changed_requirements_are_installed(ran: list[str], project: Path) -> None:
    bootstrap.ensure(development=False)
    (project / "services/one/requirements.txt").write_text("other\n")
    bootstrap.ensure(development=False)
    assert ran == ["venv", NEW_PIP, RUNTIME, RUNTIME]


def test_packages_are_importable_without_a_build(
    ran: list[str], project: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    (project / "packages/shared/src/shared").mkdir(parents=True)
    module = project / "packages/shared/src/shared/__init__.py"
    module.write_text("print('imported from', __file__)")
    bootstrap.ensure(development=False)
    libraries = project / ".venv/lib/python3.11/site-packages"
    code = f"import site; site.addsitedir({str(libraries)!r}); import shared"
    # `subprocess` is a fake here.
    os.spawnl(os.P_WAIT, sys.executable, sys.executable, "-c", code)
    assert capfd.readouterr().out.splitlines()[-1] == f"imported from {module}"


def test_a_new_package_is_installed(ran: list[str], project: Path) -> None:
    bootstrap.ensure(development=False)
    (project / "packages/other/src").mkdir(parents=True)
    bootstrap.ensure(development=False)
    assert ran == ["venv", NEW_PIP, RUNTIME, RUNTIME]


def test_a_service_that_adds_nothing_installs_nothing(
    ran: list[str], project: Path
) -> None:
    base = "-r ../../packages/shared/requirements.txt\n"
    (project / "services/one/requirements.txt").write_text(base)
    bootstrap.ensure(development=False)
    (project / "services/two").mkdir()
    (project / "services/two/requirements.txt").write_text(f"# Its own.\n{base}")
    bootstrap.ensure(development=False)
    assert ran == ["venv", NEW_PIP, RUNTIME]


def interrupt(monkeypatch: pytest.MonkeyPatch) -> None:
    """Interrupt an installation."""

    def interrupted(files: list[Path]) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patched, pytest.raises(KeyboardInterrupt):
        patched.setattr(bootstrap, "_install", interrupted)
        bootstrap.ensure(development=False)


def test_an_interrupted_installation_is_done_again(
    ran: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    interrupt(monkeypatch)
    bootstrap.ensure(development=False)
    assert ran == ["venv", NEW_PIP, RUNTIME]


def test_so_is_one_of_requirements_that_were_withdrawn(
    ran: list[str], project: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Some of its packages may be there."""
    bootstrap.ensure(development=False)
    file = project / "services/one/requirements.txt"
    before = file.read_text()
    file.write_text("other\n")
    interrupt(monkeypatch)
    file.write_text(before)
    bootstrap.ensure(development=False)
    assert ran == ["venv", NEW_PIP, RUNTIME, RUNTIME]


def test_a_moved_venv_is_recreated(ran: list[str], project: Path) -> None:
    bootstrap.ensure(development=False)
    (project / ".venv" / "bin" / "pip").write_text("#!/elsewhere/.venv/bin/python\n")
    bootstrap.ensure(development=False)
    assert ran == ["venv", NEW_PIP, RUNTIME, "venv", NEW_PIP, RUNTIME]


def test_a_venv_without_its_python_is_recreated(ran: list[str], project: Path) -> None:
    bootstrap.ensure(development=False)
    python = project / ".venv" / "bin" / "python"
    python.unlink()
    python.symlink_to("/nowhere/python")
    bootstrap.ensure(development=False)
    assert ran == ["venv", NEW_PIP, RUNTIME, "venv", NEW_PIP, RUNTIME]


def test_an_upgraded_python_is_noticed(ran: list[str], project: Path) -> None:
    bootstrap.ensure(development=False)
    python = project / ".venv" / "bin" / "python"
    (project / "python3.99").touch()
    python.unlink()
    python.symlink_to(project / "python3.99")
    bootstrap.ensure(development=False)
    assert ran == ["venv", NEW_PIP, RUNTIME, "venv", NEW_PIP, RUNTIME]


def test_a_python_without_venv_gets_advice(
    project: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "ensurepip", None)
    with pytest.raises(
        bootstrap.SetupError, match=r"apt-get install python3\.\d+-venv"
    ) as raised:
        bootstrap.ensure(development=False)
    assert explanation(str(raised.value))


def test_an_old_python_is_refused(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(sys, "version_info", (3, 10, 4))
    assert entry.main() == 1
    assert "PYTHON=python3" in explanation(capsys.readouterr().out)


def test_an_unknown_command_prints_the_list(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(sys, "argv", ["local", "fly"])
    assert entry.main() == 2
    assert "make" not in capsys.readouterr().err


def test_every_command_is_implemented() -> None:
    from local import commands

    assert set(commands._COMMANDS) == set(bootstrap.COMMANDS) - {"help"}


def test_commands_without_make_are_told() -> None:
    (do,) = (do for message, do in rows() if message == "make: command not found")
    assert "python3 -m local run" in do


def test_two_commands_install_one_after_the_other(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(bootstrap, "ROOT", tmp_path)
    with bootstrap._lock():
        with (tmp_path / ".local/setup.lock").open("w") as other:
            with pytest.raises(BlockingIOError):
                fcntl.flock(other, fcntl.LOCK_SH | fcntl.LOCK_NB)


def test_what_tests_or_checks_has_its_tools() -> None:
    needed = {"format", "lock", "audit", "debug", "install-dev"}
    needed |= {name for name, command in bootstrap.COMMANDS.items() if command.isolated}
    assert {
        name for name, command in bootstrap.COMMANDS.items() if command.tools
    } == needed


class Replaced(Exception):
    """Instead of another program in this process."""


def test_what_the_installation_says_is_no_output_of_the_command(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """`make token` prints a token that another program reads."""

    def ensure(development: bool) -> Path:
        print("Installing ...")
        raise bootstrap.SetupError("no room")

    monkeypatch.setattr(bootstrap, "ensure", ensure)
    monkeypatch.setattr(sys, "argv", ["local", "token", "bob"])
    assert entry.main() == 1
    said = capsys.readouterr()
    assert (said.out, said.err) == ("", "Installing ...\nno room\n")


@pytest.mark.parametrize("in_venv", [True, False])
@pytest.mark.parametrize("command", ["token", "unit"])
def test_a_command_starts_anew_in_a_clean_environment(
    monkeypatch: pytest.MonkeyPatch, in_venv: bool, command: str
) -> None:
    """Also when it already runs in `.venv`. Tests get no settings of the user's."""
    started: list[list[str]] = []

    def execve(program: Path, words: list[str], env: dict[str, str]) -> None:
        started.append(words)
        assert "PYTHONWARNINGS" not in env
        assert ("DATABASE_URL" in env) == (command == "token")
        raise Replaced

    monkeypatch.setattr(bootstrap, "ensure", lambda development: Path("its-python"))
    monkeypatch.setattr(bootstrap, "runs_in_venv", lambda: in_venv)
    monkeypatch.setattr(os, "execve", execve)
    monkeypatch.setenv("PYTHONWARNINGS", "error")
    monkeypatch.setenv("DATABASE_URL", "mine")
    monkeypatch.setattr(sys, "argv", ["local", command, "a b", "records:read"])
    with pytest.raises(Replaced):
        entry.main()
    assert started == [["its-python", "-m", "local", command, "a b", "records:read"]]
