"""Watches running servers and restarts those that die unexpectedly."""

import threading
import time
from collections.abc import Callable, Collection
from concurrent.futures import ThreadPoolExecutor

from local.process import Cancelled, ProcessFailed
from local.servers.base import Server

SOON = 15.0  # a death within this many seconds after a start counts as a repeated one
LIMIT = 3


class GaveUp(Exception):
    """A process died too often in a row; contains the reason and the end of its log."""


class Supervisor:
    """Watches in the caller's thread; restarts in threads of its own.

    Servers in `reloaded` restart when their code changes, and are never given up: one
    that keeps dying waits for the next change.
    """

    def __init__(
        self,
        servers: list[Server],
        say: Callable[[str], None],
        reloaded: Collection[Server] = (),
    ) -> None:
        self._servers = servers
        self._say = say
        self._reloaded = reloaded
        self._deaths = dict.fromkeys(servers, 0)
        self._restarting: set[Server] = set()
        self._failure: GaveUp | None = None
        self._reloading = threading.Lock()  # code and settings may change at once
        self._pool = ThreadPoolExecutor(max_workers=len(servers))

    def watch(self, stopped: threading.Event) -> None:
        """Return when `stopped` is set. Raises GaveUp."""
        while not stopped.wait(0.2):
            if self._failure is not None:
                raise self._failure
            settled = [each for each in self._servers if each not in self._restarting]
            for server in settled:
                # A restart may have begun since, or end between two questions.
                if not server.alive and server not in self._restarting:
                    self._on_death(server)

    def reload(self, servers: Collection[Server]) -> None:
        """Stop and start again; returns when all are ready, or have failed to be."""
        with self._reloading:
            self._restarting.update(servers)
            for future in [self._pool.submit(self._reload, each) for each in servers]:
                future.result()

    def _reload(self, server: Server) -> None:
        try:
            server.restart()
        except ProcessFailed as error:
            self._say(f"{error}\n{server.name} waits for the next change")
        except Cancelled:
            return
        else:
            self._deaths[server] = 0
            self._restarting.discard(server)
            self._say(f"{server.name} runs the changed code")

    def close(self) -> None:
        """Wait for running restarts; if the state is cancelled, they end at once."""
        self._pool.shutdown()

    def _on_death(self, server: Server) -> None:
        age = time.monotonic() - server.child.started_at
        self._deaths[server] = self._deaths[server] + 1 if age < SOON else 1
        code = server.child.returncode
        reason = f"{server.name} died (exit code {code})"
        if self._deaths[server] >= LIMIT:
            reason = f"{reason} {LIMIT} times, each within {SOON:.0f} s of its start"
            failure = str(server.child.failure(reason))
            if server not in self._reloaded:
                raise GaveUp(failure)
            self._say(f"{failure}\n{server.name} waits for the next change")
            self._restarting.add(server)
            return
        self._say(f"{reason}; restarting it")
        self._restarting.add(server)
        self._pool.submit(self._restart, server)

    def _restart(self, server: Server) -> None:
        try:
            server.start()
            self._say(f"{server.name} is back")
        except ProcessFailed as error:
            # It died again, or never became ready and was killed: the next check
            # counts both as a death.
            self._say(str(error).splitlines()[0])
        except Cancelled:
            return
        except Exception as error:  # such as a missing binary
            self._failure = GaveUp(f"{server.name} cannot start: {error}")
        finally:
            self._restarting.discard(server)
