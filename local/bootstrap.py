"""Creates and fills the project's `.venv`; standard library only.

A stamp inside `.venv` holds a hash of what was installed. It is removed before pip
runs and written after, so an interrupted installation is simply done again.
"""

import fcntl
import hashlib
import os
import re
import shutil
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import NamedTuple

from local import installation
from local.advice import advice
from local.isolation import cleaned

ROOT = Path(__file__).resolve().parent.parent
VENV = ROOT / ".venv"
PYTHON = VENV / "bin" / "python"

PIP = "local/requirements-pip.txt"
LINES = 12  # of a failed command's output that are shown


class Command(NamedTuple):
    """What a command does, whether it needs the development tools, and whether the
    user's environment is kept from it."""

    help: str
    tools: bool = False
    isolated: bool = False


COMMANDS = {
    "run": Command("start the whole stack (--traces, --auth, --tls); Ctrl-C stops it"),
    "dev": Command("like `run`, and reload code when a file is saved"),
    "traces": Command("show the last traces of a stack run with --traces"),
    "token": Command("print a token for a stack run with --auth: token USER SCOPES"),
    "debug": Command("like `run`; each process listens for a debugger", tools=True),
    "status": Command("show which parts of the stack are up; 1 if not all are"),
    "smoke": Command("ask the running stack for each promise once: [URL]"),
    "logs-local": Command("follow one part's log: logs-local worker"),
    "logs-of": Command("show the log lines of one request: logs-of REQUEST_ID"),
    "setup": Command("install what `run` needs, without starting it"),
    "install-dev": Command("install the tools for tests and checks", tools=True),
    "test": Command(
        "check, then run every test; arguments go to pytest", tools=True, isolated=True
    ),
    "unit": Command("run the tests that need no server", tools=True, isolated=True),
    "integration": Command(
        "run the tests with real servers", tools=True, isolated=True
    ),
    "e2e": Command(
        "run the tests of the whole stack through nginx", tools=True, isolated=True
    ),
    "kit": Command(
        "test the generators in copies of the project", tools=True, isolated=True
    ),
    "chaos": Command(
        "break every part under load; no work may be lost",
        tools=True,
        isolated=True,
    ),
    "mutate": Command(
        "break changed code; do the unit tests notice?", tools=True, isolated=True
    ),
    "ha": Command(
        "lose each node of a highly available system, or --keep it to play with",
        tools=True,
        isolated=True,
    ),
    "upgrade": Command(
        "roll from the last release to this tree and back, under load",
        tools=True,
        isolated=True,
    ),
    "compose": Command(
        "build, run and break the containers (needs Docker)", tools=True, isolated=True
    ),
    "hostile": Command(
        "attack the stack while a normal client uses it", tools=True, isolated=True
    ),
    "check": Command(
        "run black, isort, flake8, mypy, import-linter, bandit, hadolint, prose, "
        "migrations",
        tools=True,
        isolated=True,
    ),
    "format": Command("format the code with black and isort", tools=True),
    "docs": Command(
        "write the documents that are generated from code", tools=True, isolated=True
    ),
    "lock": Command("compile every requirements.txt, with hashes", tools=True),
    "new-service": Command("add a microservice: new-service NAME [--events]"),
    "remove-service": Command("remove it; --force if it was changed"),
    "new-resource": Command("add a CRUD resource: new-resource NAME"),
    "remove-resource": Command("remove it; --force if it was changed"),
    "new-task": Command("add a task, with its schedule: new-task NAME"),
    "remove-task": Command("remove it; --force if it was changed"),
    "remove-demo": Command("remove the data service and everything about it"),
    "rename": Command("give the project your name: rename NAME"),
    "update": Command("merge a newer version of the kit: update TO [FROM]"),
    "release": Command("release the unreleased changes: release VERSION"),
    "secrets": Command("write a .env with random passwords"),
    "certs": Command("make a local authority and certificates for TLS everywhere"),
    "audit": Command("check pinned packages for known vulnerabilities", tools=True),
    "migrate": Command("migrate the stack's database to the newest schema"),
    "downgrade": Command("migrate it back: downgrade REVISION"),
    "backup": Command("back up the running stack: [--follow]"),
    "restore": Command("restore the stopped stack, to a time or the last backup"),
    "rebuild-records": Command("compare the records with the event log: [--apply]"),
    "prune-events": Command("delete old events whose record is gone: DAYS"),
    "revision": Command("generate a migration: revision -m MESSAGE"),
    "merge-revisions": Command("merge migrations of two branches: -m MESSAGE"),
    "clean": Command("remove the stack's data and logs (.local)"),
    "help": Command("show this list"),
}


class SetupError(Exception):
    """The environment could not be prepared; the message says what to do."""


def usage() -> str:
    """The list of commands."""
    lines = [f"  {name:15} {command.help}" for name, command in COMMANDS.items()]
    return "\n".join(["python3 -m local COMMAND", "", *lines])


def requirement_files(development: bool) -> list[Path]:
    """The pinned requirements of every component, or those and the tools."""
    files = [
        *sorted(ROOT.glob("packages/*/requirements.txt")),
        ROOT / "backend" / "requirements.txt",
        *sorted(ROOT.glob("services/*/requirements.txt")),
        ROOT / "local" / "requirements.txt",
    ]
    return [*files, ROOT / "requirements-dev.txt"] if development else files


def fingerprint(files: list[Path]) -> str:
    """A hash that changes with any requirement or with the venv's Python."""
    digest = hashlib.sha256(_read(VENV / "pyvenv.cfg").encode())
    # A service with the requirements of another, or another comment, changes nothing.
    for lines in dict.fromkeys(_requirements(file) for file in files):
        digest.update(lines.encode())
    digest.update(import_paths().encode())
    return digest.hexdigest()


def import_paths() -> str:
    """Lines of a `.pth` file that make `packages/` importable in `.venv`.

    Nothing is built, so changed code needs no installation.
    """
    libraries = VENV / "lib" / "python3" / "site-packages"
    sources = sorted(ROOT.glob("packages/*/src"))
    return "".join(f"{os.path.relpath(source, libraries)}\n" for source in sources)


def _requirements(file: Path) -> str:
    lines = file.read_text().splitlines()
    return "\n".join(line for line in lines if not line.lstrip().startswith("#"))


def runs_in_venv() -> bool:
    """Whether this very process is the venv's Python."""
    return Path(sys.prefix).resolve() == VENV


def ensure(development: bool) -> Path:
    """Make `.venv` hold the requirements; its Python. Cheap when it already does.

    Raises SetupError with advice when that is not possible.
    """
    files = requirement_files(development)
    stamp = VENV / (".installed-dev" if development else ".installed")
    with _lock():
        if not is_usable(VENV):
            _create()
        wanted = fingerprint(files)
        if _read(stamp) != wanted:
            stamp.unlink(missing_ok=True)
            _install(files)
            stamp.write_text(wanted)
    return PYTHON


def is_usable(venv: Path) -> bool:
    """False for a venv that is missing, half made, was moved, or lost its Python.

    Scripts in a venv name its path: after a move they would run another folder's.
    An upgrade of the system's Python leaves packages where the new one never looks.
    """
    python = (venv / "bin" / "python").resolve()
    libraries = venv / "lib" / python.name
    if re.fullmatch(r"python3\.\d+", python.name) and not libraries.is_dir():
        return False
    return python.exists() and str(venv) in _read(venv / "bin" / "pip")


def _read(path: Path) -> str:
    try:
        return path.read_text(errors="replace")
    except OSError:
        return ""


@contextmanager
def _lock() -> Iterator[None]:
    """Two commands at once install one after the other."""
    (ROOT / ".local").mkdir(exist_ok=True)
    with (ROOT / ".local" / "setup.lock").open("w") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        yield


def _create() -> None:
    if runs_in_venv():
        raise SetupError(
            "`.venv` was made in another folder or by another Python, and this is the\n"
            "Python of it. Run `deactivate`, then `python3 -m local setup`."
        )
    try:
        import ensurepip  # noqa: F401
        import venv  # noqa: F401
    except ImportError:
        version = f"{sys.version_info.major}.{sys.version_info.minor}"
        raise SetupError(
            f"Python {version} lacks its venv module. On Debian or Ubuntu:\n"
            f"  apt-get install python{version}-venv"
        ) from None
    if VENV.exists():
        print("`.venv` is half made, or of another folder or Python.", flush=True)
    print("Creating .venv ...", flush=True)
    shutil.rmtree(VENV, ignore_errors=True)
    failure = "creating .venv failed"
    _run([sys.executable, "-m", "venv", "--without-pip", str(VENV)], failure)
    # venv itself would keep from us why this fails.
    _run([str(PYTHON), "-Im", "ensurepip", "--default-pip"], failure)
    # Python's own pip can be years old, and then takes twice as long for all packages.
    # If this fails, so will they: what pip says then is for people.
    command = [*_pip_install(), "--retries", "0", "-r", str(ROOT / PIP)]
    subprocess.run(command, env=_environment(), capture_output=True)


def _pip_install() -> list[str]:
    command = [str(PYTHON), "-m", "pip", "install", "--require-hashes", "--no-input"]
    return [*command, "--disable-pip-version-check", "--progress-bar", "off"]


def _install(files: list[Path]) -> None:
    began = time.monotonic()
    print("Installing requirements into .venv ...", flush=True)
    # Not `--quiet`: pip tells refused certificates as mere information.
    command = [*_pip_install(), "--no-compile"]
    for file in files:
        command += ["-r", str(file)]
    log = ROOT / ".local" / "pip.log"
    folder = next(VENV.glob("lib/python3.*/site-packages"), VENV)
    with installation.shown(installation.pinned(files), log, folder):
        _run([*command, "--log", str(log)], "pip could not install the requirements")
    # pip would compile with one processor. What fails is compiled when it is imported.
    compiled = [str(PYTHON), "-m", "compileall", "-qq", "-j", "0", str(folder)]
    subprocess.run(compiled, env=_environment(), capture_output=True)
    for libraries in VENV.glob("lib/python3.*/site-packages"):
        (libraries / "packages.pth").write_text(import_paths())
    print(f"Installed in {time.monotonic() - began:.0f} s.", flush=True)


def _environment() -> dict[str, str]:
    # A user's pip.conf may say `user = true`, which pip refuses in a venv.
    return {**cleaned(os.environ), "PIP_USER": "0"}


def _run(command: list[str], failure: str) -> None:
    result = subprocess.run(
        command,
        env=_environment(),
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )
    if result.returncode:
        end = "\n".join(result.stdout.splitlines()[-LINES:])
        said = f"{end}\n{failure} (exit code {result.returncode})"
        raise SetupError(f"{said}{advice(result.stdout)}")
