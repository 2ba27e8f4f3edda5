"""`make backup` and `make restore` of the local stack. What PostgreSQL's own tools do
is in `deploy/components/backup/backup.sh`, which containers run too."""

import base64
import json
import os
import subprocess
import sys
import time
import urllib.request
from collections.abc import Mapping
from pathlib import Path

from local.apps import ROOT
from local.ports import free_port
from local.process import ProcessFailed
from local.run import ENVIRONMENT_FILE
from local.servers.postgres import PostgreSQL
from local.servers.rabbitmq import RabbitMQ, find_script
from local.state import LOCAL, State
from local.tls import Tls, open_url

SCRIPT = ROOT / "deploy/components/backup/backup.sh"
FOLDER = ROOT / "backups"
DEFINITIONS = "rabbitmq-definitions.json"

NOT_RUNNING = "The stack does not run: start it with `make run`, then back it up."
# A restore puts the data of these aside, too: it does not belong to what is restored.
OTHERS = ("redis", "redis-keys", "rabbitmq")


class _Recovering(PostgreSQL):
    """It lets nobody in before it has read all WAL."""

    start_timeout = 24 * 3600.0


def backup(arguments: list[str], run: Path = LOCAL / "run", to: Path = FOLDER) -> int:
    """Back up the running stack; with `--follow`, go on until Ctrl-C."""
    if not State(run).is_held:
        raise ProcessFailed(NOT_RUNNING)
    env = json.loads((run / ENVIRONMENT_FILE).read_text())
    url = env["MIGRATIONS_DATABASE_URL"].replace("+psycopg2", "")
    tls = Tls() if "sslmode" in url else None
    server = PostgreSQL(State(run, tls), 0)
    print("Base backup:", _script(server, to, url, "base"), flush=True)
    if "RABBITMQ_MANAGEMENT_URL" in env:
        (to / DEFINITIONS).touch(mode=0o600)  # it holds hashes of passwords
        (to / DEFINITIONS).write_bytes(_definitions(env, tls))
    _script(server, to, url, "wal-so-far")
    if "--follow" in arguments:
        print("Receiving what PostgreSQL writes; Ctrl-C stops", flush=True)
        _script(server, to, url, "wal")
    return 0


def restore(arguments: list[str], run: Path = LOCAL / "run", of: Path = FOLDER) -> int:
    """Restore the stopped stack to a time, or to the end of the last backup."""
    until = [word for word in arguments if word and not word.startswith("--")]
    state = State(run, Tls() if "--tls" in arguments else None)
    state.acquire()
    server = _Recovering(state, free_port())
    url = server.url().replace("+psycopg2", "")
    try:
        print("Base backup:", _script(server, of, url, "restore", *until), flush=True)
        stamp = time.strftime(".before-%Y%m%dT%H%M%SZ", time.gmtime())
        for folder in (state.path / name for name in OTHERS):
            if folder.exists():
                folder.rename(folder.with_name(folder.name + stamp))
                print(f"Put aside: {folder}{stamp}")
        server.own_data()
        server.start()
        _script(server, of, url, "finish")
        if find_script() and (of / DEFINITIONS).exists():
            _import_definitions(state, json.loads((of / DEFINITIONS).read_text()))
    finally:
        server.stop()
        state.release()
    print("Restored. `make run` starts the stack; back it up again soon.")
    return 0


def _script(server: PostgreSQL, folder: Path, url: str, *words: str) -> str:
    """Run backup.sh with the tools of the server's version; returns what it prints."""
    env = {
        **os.environ,
        "PATH": f"{server.binaries}{os.pathsep}{os.environ['PATH']}",
        "BACKUPS": str(folder),
        "SERVER": url,
        "PGDATA": str(server.data),
        # That of the wheel (18.4) crashes.
        "VERIFY": "true",
    }
    result = subprocess.run(
        ["sh", str(SCRIPT), *words],
        env=env,
        stdout=subprocess.PIPE,
        stderr=sys.stderr,
        text=True,
    )
    if result.returncode:
        raise ProcessFailed(f"backup.sh {' '.join(words)} failed")
    return result.stdout.strip()


def _definitions(env: Mapping[str, str], tls: Tls | None) -> bytes:
    """Users, virtual hosts, exchanges and queues of RabbitMQ; no messages."""
    login = f"{env['RABBITMQ_USER']}:{env['RABBITMQ_PASSWORD']}"
    request = urllib.request.Request(
        f"{env['RABBITMQ_MANAGEMENT_URL']}/api/definitions",
        headers={"Authorization": f"Basic {base64.b64encode(login.encode()).decode()}"},
    )
    with open_url(request, 10, tls) as answer:
        found: bytes = answer.read()
    return found


def _import_definitions(state: State, definitions: object) -> None:
    node = RabbitMQ(state, free_port(), free_port())
    try:
        node.start()
        node.call("POST", "definitions", definitions)
    finally:
        node.stop()
