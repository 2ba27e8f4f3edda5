"""Watches running servers and starts again what dies unexpectedly."""

import threading
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor

from local.process import Cancelled, ProcessFailed
from local.servers.base import Server

SOON = 15.0  # seconds after its start in which a death counts as one in a row
LIMIT = 3


class GaveUp(Exception):
    """A process died too often in a row; holds the reason and its log's end."""


class Supervisor:
    """Watches in the caller's thread; restarts in threads of its own."""

    def __init__(self, servers: list[Server], say: Callable[[str], None]) -> None:
        self._servers = servers
        self._say = say
        self._deaths = dict.fromkeys(servers, 0)
        self._restarting: set[Server] = set()
        self._failure: GaveUp | None = None
        self._pool = ThreadPoolExecutor(max_workers=len(servers))

    def watch(self, stopped: threading.Event) -> None:
        """Return when `stopped` is set. Raises GaveUp."""
        while not stopped.wait(0.2):
            if self._failure is not None:
                raise self._failure
            for server in self._servers:
                if not server.alive and server not in self._restarting:
                    self._on_death(server)

    def close(self) -> None:
        """Wait for restarts under way; with the state cancelled they end at once."""
        self._pool.shutdown()

    def _on_death(self, server: Server) -> None:
        age = time.monotonic() - server.child.started_at
        self._deaths[server] = self._deaths[server] + 1 if age < SOON else 1
        code = server.child.returncode
        reason = f"{server.name} died (exit code {code})"
        if self._deaths[server] >= LIMIT:
            reason = f"{reason} {LIMIT} times, each within {SOON:.0f} s of its start"
            raise GaveUp(str(server.child.failure(reason)))
        self._say(f"{reason}; starting it again")
        self._restarting.add(server)
        self._pool.submit(self._restart, server)

    def _restart(self, server: Server) -> None:
        try:
            server.start()
            self._say(f"{server.name} is back")
        except ProcessFailed as error:
            # It died again, which the next look at it counts, or it never became
            # ready and was killed, which counts too.
            self._say(str(error).splitlines()[0])
        except Cancelled:
            return
        except Exception as error:  # such as a missing binary
            self._failure = GaveUp(f"{server.name} cannot start: {error}")
        finally:
            self._restarting.discard(server)
