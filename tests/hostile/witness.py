"""The measurements during an attack: a friendly client, a probe, and memory."""

import threading
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import dataclass, field
from types import TracebackType
from typing import Self

import httpx2
import psutil

from local.stack import Stack
from tests.e2e.client import PROCESS
from tests.e2e.threads import Threads

PERIOD = 0.1  # seconds between two requests of the friendly client, and of the probe
MEGABYTE = 1024 * 1024


@dataclass
class Asked:
    """The requests of one client: the seconds of each, and the faults of some."""

    seconds: list[float] = field(default_factory=list)
    faults: list[str] = field(default_factory=list)

    @property
    def good(self) -> float:
        """The share of good answers."""
        return 1 - len(self.faults) / max(1, len(self.seconds))

    @property
    def p99(self) -> float:
        """The 99th percentile in seconds; 0 without any request."""
        ranked = sorted(self.seconds)
        return ranked[int(0.99 * (len(ranked) - 1))] if ranked else 0.0


class Witness(Threads):
    """Observes from entry to exit; `memory` is the peak of each kind of process."""

    def __init__(self, stack: Stack) -> None:
        super().__init__()
        self._stack = stack
        self.friend, self.live = Asked(), Asked()
        self.memory: dict[str, float] = {}
        self.families = families(stack)
        self._threads = [
            threading.Thread(target=self._every, args=(PERIOD, self._befriend)),
            threading.Thread(target=self._every, args=(PERIOD, self._probe)),
            threading.Thread(target=self._every, args=(0.2, self._weigh)),
        ]
        self._gateway = httpx2.Client(base_url=stack.url, timeout=10)
        self._api = httpx2.Client(base_url=stack.api_url, timeout=10)

    def __enter__(self) -> Self:
        self._weigh()
        return super().__enter__()

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        super().__exit__(kind, error, trace)
        self._gateway.close()
        self._api.close()

    def _every(self, seconds: float, act: Callable[[], None]) -> None:
        while not self._stopped.wait(seconds):
            act()

    def _befriend(self) -> None:
        body = {"payload": "friend", "description": "reverse"}
        _ask(self.friend, lambda: self._gateway.post(PROCESS, json=body))

    def _probe(self) -> None:
        _ask(self.live, lambda: self._api.get("/health/live"))

    def _weigh(self) -> None:
        for name, megabytes in weigh(self._stack).items():
            self.memory[name] = max(megabytes, self.memory.get(name, 0.0))

    def died(self) -> list[str]:
        """The processes that have ended since the beginning."""
        now = families(self._stack)
        return [
            f"{name}: process {pid} is gone"
            for name, pids in self.families.items()
            for pid in sorted(pids - now[name])
        ]


def _ask(asked: Asked, act: Callable[[], httpx2.Response]) -> None:
    began = time.monotonic()
    try:
        answer = act()
        if answer.status_code != 200:
            asked.faults.append(f"{answer.status_code} {answer.text[:80]}")
    except httpx2.TransportError as error:
        asked.faults.append(type(error).__name__)
    asked.seconds.append(time.monotonic() - began)


def leaders(stack: Stack) -> dict[str, int]:
    """The first process of each kind."""
    found = {
        "API": stack.apis[0].pid,
        "service": stack.service("dataservice").pid,
        "worker": stack.worker.pid,
    }
    return {**found, "gateway": stack.nginx.pid} if stack.nginx else found


def families(stack: Stack) -> dict[str, set[int]]:
    """Each leader with its children; a leader that died has none."""
    found: dict[str, set[int]] = {}
    for name, pid in leaders(stack).items():
        found[name] = set()
        with suppress(psutil.NoSuchProcess):
            leader = psutil.Process(pid)
            found[name] = {pid, *_children(leader)}
    return found


def _children(leader: psutil.Process) -> Iterator[int]:
    """Without other programs, which soon end: Celery starts with `uname`."""
    for child in leader.children():
        with suppress(psutil.NoSuchProcess):
            if child.name() == leader.name():
                yield child.pid


def weigh(stack: Stack) -> dict[str, float]:
    """Resident megabytes of each family together; for the worker, of its largest
    process."""
    found = {}
    for name, pids in families(stack).items():
        each = []
        for pid in pids:
            try:
                each.append(psutil.Process(pid).memory_info().rss / MEGABYTE)
            except psutil.NoSuchProcess:
                continue
        found[name] = max(each, default=0) if name == "worker" else sum(each)
    return found
