"""Restarts parts of a system that is broken on purpose, as Docker and Kubernetes do."""

import threading
from collections.abc import Callable, Collection

from local.process import Cancelled, ProcessFailed
from local.servers.base import Server


class Caretaker:
    """Starts what ended by itself, such as Celery without Redis, and never gives up.
    Parts in `left_alone` stay as they are: whoever breaks them starts them again."""

    def __init__(self, parts: Callable[[], Collection[Server]]) -> None:
        self.left_alone: set[Server] = set()
        self._parts = parts
        self._stopped = threading.Event()
        self._thread = threading.Thread(target=self._take_care)

    def start(self) -> None:
        """Begin, in a thread."""
        self._thread.start()

    def stop(self) -> None:
        """End, also if it never began."""
        self._stopped.set()
        if self._thread.ident is not None:
            self._thread.join()

    def pause(self, seconds: float) -> None:
        """Leave everything as it is for a while; returns at once after `stop`."""
        self._stopped.wait(seconds)

    def _take_care(self) -> None:
        while not self._stopped.wait(0.2):
            for part in self._parts():
                if part.alive or part in self.left_alone:
                    continue
                try:
                    part.start()
                except Cancelled:
                    return
                except ProcessFailed as error:
                    print(str(error).splitlines()[0], flush=True)
