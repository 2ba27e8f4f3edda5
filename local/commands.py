"""The commands of `python3 -m local`, run inside the venv."""

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Callable, Mapping
from functools import partial

from local import backup, certificates, logs_local, logs_of
from local import run as launcher
from local import secrets, smoke, status, suite, tls, tokens, traces
from local.apps import BACKEND, ROOT
from local.bootstrap import COMMANDS
from local.ha import run as ha
from local.lock import lock
from local.ports import free_port
from local.process import ProcessFailed
from local.servers.postgres import PostgreSQL
from local.servers.privileges import private_folder
from local.stack import alembic
from local.state import LOCAL, AlreadyRunning, State


def run(command: str, arguments: list[str]) -> int:
    """Run one command; returns its exit code."""
    try:
        return _COMMANDS[command](arguments)
    except (AlreadyRunning, ProcessFailed) as error:
        print(error, file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        return 130


def _launch(arguments: list[str], *, reload: bool = False, debug: bool = False) -> int:
    return launcher.run(
        traces="--traces" in arguments,
        auth="--auth" in arguments,
        tls="--tls" in arguments,
        reload=reload,
        debug=debug,
    )


def _format(_: list[str]) -> int:
    codes = [
        subprocess.run([sys.executable, "-m", *tool, "."], cwd=ROOT).returncode
        for tool in (("isort", "--quiet"), ("black", "--quiet"))
    ]
    return max(codes)


def _migrate(_: list[str]) -> int:
    return _with_database(lambda env: alembic(env, "upgrade", "head"))


def _downgrade(arguments: list[str]) -> int:
    if not any(arguments):
        print("Name the revision to go back to: make downgrade TO=0003")
        print(f"The revisions are:\n{alembic({}, 'history')}", end="")
        return 2
    return _with_database(lambda env: alembic(env, "downgrade", *arguments))


def _revision(arguments: list[str]) -> int:
    if not any(word and not word.startswith("-") for word in arguments):
        print('Say what the migration does: make revision M="add a column"')
        return 2

    def write(env: Mapping[str, str]) -> str:
        upgraded = alembic(env, "upgrade", "head")
        return upgraded + alembic(env, "revision", "--autogenerate", *arguments)

    code = _with_database(write)
    from local.migrations.__main__ import find_faults  # only here: Alembic is slow

    for fault in find_faults():
        print(f"\nmake check refuses {fault}")
    return code


def _merge_revisions(arguments: list[str]) -> int:
    if len(alembic({}, "heads").splitlines()) < 2:
        print("There is only one newest migration: nothing to merge.")
        return 0
    print(alembic({}, "merge", "heads", *arguments), end="")
    return 0


def _event_log(command: str, arguments: list[str]) -> int:
    if command == "prune" and not any(arguments):
        print("Name the age of the events to delete: make prune-events DAYS=365")
        return 2
    code = 0

    def maintain(env: Mapping[str, str]) -> str:
        nonlocal code
        words = [sys.executable, "-m", "app.event_log", command, *arguments]
        run = subprocess.run(
            words,
            cwd=BACKEND,
            env={**os.environ, **env},
            capture_output=True,
            text=True,
        )
        if run.returncode and not run.stdout:
            raise ProcessFailed(run.stderr)
        code = run.returncode  # 1: the records differ from the log
        return run.stdout

    return _with_database(maintain) or code


def _with_database(action: Callable[[Mapping[str, str]], str]) -> int:
    """Run an action on the database of `run`, which is started if it is down."""
    state = State(LOCAL / "run")
    try:
        state.acquire()
    except AlreadyRunning:
        running = json.loads((state.path / launcher.ENVIRONMENT_FILE).read_text())
        print(action(running), end="")
        return 0
    server = PostgreSQL(state, free_port())
    try:
        server.start()
        print(action(server.environment()), end="")
    finally:
        server.stop()
        state.release()
    return 0


def _clean(_: list[str]) -> int:
    state = State(LOCAL / "run")
    state.acquire()
    shutil.rmtree(private_folder(state.folder("postgres")), ignore_errors=True)
    state.release(remove=True)
    for path in LOCAL.iterdir():  # without the certificates: an authority may be yours
        if path.is_dir() and path != tls.FOLDER:
            shutil.rmtree(path)
        elif path.is_file():
            path.unlink()
    return 0


def _kit(command: str, arguments: list[str]) -> int:
    from kit import commands  # only here: black is slow to import

    return commands.run(command, arguments)


KIT = [command for command in COMMANDS if command.startswith(("new-", "remove-"))]

_COMMANDS: dict[str, Callable[[list[str]], int]] = {
    "run": _launch,
    "dev": partial(_launch, reload=True),
    "debug": partial(_launch, debug=True),
    "traces": traces.show,
    "token": tokens.show,
    "status": status.show,
    "smoke": smoke.run,
    "logs-local": logs_local.follow,
    "logs-of": logs_of.show,
    "setup": lambda _: 0,
    "install-dev": lambda _: 0,
    "test": suite.everything,
    "unit": suite.unit,
    "integration": suite.integration,
    "e2e": suite.e2e,
    "chaos": suite.chaos,
    "ha": ha.run,
    "hostile": suite.hostile,
    "mutate": suite.mutate,
    "kit": suite.kit,
    "upgrade": suite.upgrade,
    "compose": suite.compose,
    "check": lambda _: suite.check(),
    "format": _format,
    "docs": lambda _: suite.docs(),
    "lock": lock,
    "certs": certificates.run,
    "secrets": lambda _: secrets.write(),
    "audit": lambda _: suite.audit(),
    "migrate": _migrate,
    "downgrade": _downgrade,
    "backup": backup.backup,
    "restore": backup.restore,
    "rebuild-records": partial(_event_log, "rebuild"),
    "prune-events": partial(_event_log, "prune"),
    "revision": _revision,
    "merge-revisions": _merge_revisions,
    "clean": _clean,
    **{name: partial(_kit, name) for name in (*KIT, "rename", "update", "release")},
}
