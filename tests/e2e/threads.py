"""Clients that run in parallel to a test, each in its own thread."""

import threading
from types import TracebackType
from typing import Self


class Threads:
    """Runs `_threads` from entry to exit; each ends soon after `_stopped` is set."""

    def __init__(self) -> None:
        self._stopped = threading.Event()
        self._threads: list[threading.Thread] = []

    def __enter__(self) -> Self:
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._stopped.set()
        for thread in self._threads:
            thread.join()
