"""Threads that run the handlers, apart from the I/O thread."""

import threading
from collections import deque
from collections.abc import Callable
from queue import Empty, SimpleQueue

from chassis.rpc.wire import Outcome, Request

Finished = tuple[Request, Outcome]


class WorkerPool:
    """A fixed number of threads; the I/O thread collects finished work.

    The threads are daemons: a handler that never returns cannot keep the process alive.
    """

    def __init__(
        self,
        handle: Callable[[Request], Outcome],
        size: int,
        on_finished: Callable[[], None],
    ) -> None:
        self._handle = handle
        self._on_finished = on_finished
        self._waiting: SimpleQueue[Request | None] = SimpleQueue()
        self._finished: deque[Finished] = deque()
        self._unfinished = 0
        self._threads = [
            threading.Thread(target=self._work, name=f"handler-{number}", daemon=True)
            for number in range(size)
        ]
        for thread in self._threads:
            thread.start()

    @property
    def unfinished(self) -> int:
        """Requests submitted and neither collected nor withdrawn."""
        return self._unfinished

    @property
    def has_finished(self) -> bool:
        """Whether `collect` would return something."""
        return bool(self._finished)

    def submit(self, request: Request) -> None:
        """Run the handler on it as soon as a thread is free."""
        self._unfinished += 1
        self._waiting.put(request)

    def collect(self) -> list[Finished]:
        """Take the finished outcomes, in order of completion."""
        finished = []
        while self._finished:
            finished.append(self._finished.popleft())
        self._unfinished -= len(finished)
        return finished

    def withdraw(self) -> list[Request]:
        """Take back the requests that no thread has begun."""
        withdrawn = []
        while True:
            try:
                request = self._waiting.get_nowait()
            except Empty:
                break
            if request is not None:
                withdrawn.append(request)
        self._unfinished -= len(withdrawn)
        return withdrawn

    def stop(self) -> None:
        """Let every thread end after its current request; do not wait for them."""
        for _ in self._threads:
            self._waiting.put(None)

    def _work(self) -> None:
        while (request := self._waiting.get()) is not None:
            self._finished.append((request, self._handle(request)))
            self._on_finished()
