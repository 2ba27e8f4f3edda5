"""What is up: the table of `make run`, and `status`, which tells it of a stack that
another terminal runs."""

import json
import sys
from collections.abc import Iterable
from pathlib import Path
from typing import NamedTuple

import psutil

from local.apps import answers
from local.ports import accepts, at
from local.servers.base import Server
from local.servers.broker import Broker
from local.state import LOCAL, State, leftovers
from local.terminal import GREEN, RED, coloured, is_colourful
from local.tls import Tls, scheme

PARTS_FILE = "parts.json"  # of the run's folder; there while all was up once
UP = "up"
HEADER = ("part", "state", "version", "port", "address")

NOT_RUNNING = "Nothing runs from this folder: start it with `make run`."
STARTING = "The stack is starting or stopping: try again in a moment."


class Part(NamedTuple):
    """A process of the stack, or a server of somebody else's that it uses."""

    name: str
    version: str
    port: int  # 0 without one
    address: str
    host: str = ""  # of somebody else's
    health: str = ""  # a URL that answers 200 when all is well
    tls: str = ""  # the folder of its certificates


def describe(server: Server) -> Part:
    """One of ours, while it runs."""
    tls = server.state.tls
    health = ""
    if server.name.startswith("api"):
        health = f"{scheme(tls)}://{at(server.port)}/health/ready"
    return Part(
        server.name,
        _version(server),
        server.port,
        server.address,
        health=health,
        tls=str(tls.folder) if tls else "",
    )


def describe_external(broker: Broker) -> Part:
    """The broker that RPC_BROKER_URL or RABBITMQ_HOST names."""
    version = _version(broker)
    return Part("rabbitmq", version, broker.port, broker.address, host=broker.host)


def _version(server: Server | Broker) -> str:
    try:
        return server.version()
    except Exception:  # of whatever client: no version is worth the end of a stack
        return "?"


def note(path: Path, parts: Iterable[Part]) -> None:
    """Write down for `status` what should be up. It holds passwords."""
    file = path / PARTS_FILE
    file.touch(mode=0o600)
    file.write_text(json.dumps(list(parts)))


def forget(path: Path) -> None:
    """Nothing should be up."""
    (path / PARTS_FILE).unlink(missing_ok=True)


def noted(path: Path) -> list[Part]:
    """What should be up; nothing while the stack starts, stops or does not run."""
    if not State(path).is_held:
        return []
    try:
        return [Part(*fields) for fields in json.loads((path / PARTS_FILE).read_text())]
    except (FileNotFoundError, ValueError):  # half written
        return []


def state_of(part: Part, path: Path) -> str:
    """`up`, or what is wrong with it."""
    if part.host:
        return UP if accepts(part.port, part.host) else "down"
    processes = leftovers(path, part.name)
    if not processes:
        return "down"
    if any(_is_stopped(process) for process in processes):
        return "stopped"
    if part.port and not accepts(part.port):
        return "not listening"
    tls = Tls(Path(part.tls)) if part.tls else None
    if part.health and not answers(part.health, tls=tls):
        return "not ready"
    return UP


def _is_stopped(process: psutil.Process) -> bool:
    try:
        return process.status() == psutil.STATUS_STOPPED
    except psutil.NoSuchProcess:
        return False


def table(parts: Iterable[tuple[Part, str]], *, colours: bool) -> str:
    """Parts and their states, as lines."""
    rows = [HEADER]
    for part, state in parts:
        port = str(part.port or "")
        rows.append((part.name, state, part.version, port, part.address))
    widths = [max(map(len, column)) for column in zip(*rows)]
    lines = []
    for row in rows:
        cells = [f"{cell:{width}}" for cell, width in zip(row, widths)]
        if colours and row is not HEADER:
            cells[1] = coloured(cells[1], GREEN if row[1] == UP else RED)
        lines.append(f"  {'  '.join(cells)}".rstrip())
    return "\n".join(lines)


def show(_: list[str], path: Path = LOCAL / "run") -> int:
    """Print the table of the running stack; 1 if it does not run, or not all of it."""
    if not State(path).is_held:
        print(NOT_RUNNING, file=sys.stderr)
        return 1
    parts = noted(path)
    if not parts:
        print(STARTING, file=sys.stderr)
        return 1
    states = [state_of(part, path) for part in parts]
    print(table(zip(parts, states), colours=is_colourful(sys.stdout)))
    up = states.count(UP)
    print(f"\n  {up} of {len(parts)} are up; logs: {path / 'logs'}")
    return 0 if up == len(parts) else 1
