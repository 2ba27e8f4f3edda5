"""Threads that run the handlers, away from the I/O thread."""

import threading
from collections import deque
from collections.abc import Callable
from queue import Empty, SimpleQueue

from chassis.rpc.wire import Outcome, Request

Finished = tuple[Request, Outcome]


class WorkerPool:
    """A fixed number of threads; finished work is collected by the I/O thread.

    The threads are daemons: a handler that never returns cannot keep the process.
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
        """Have a thread handle it, as soon as one is free."""
        self._unfinished += 1
        self._waiting.put(request)

    def collect(self) -> list[Finished]:
        """Take what is finished, in the order in which it finished."""
        finished = []
        while self._finished:
            finished.append(self._finished.popleft())
        self._unfinished -= len(finished)
        return finished

    def withdraw(self) -> list[Request]:
        """Take back what no thread has begun."""
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
        """Let every thread end after what it is doing; wait for none."""
        for _ in self._threads:
            self._waiting.put(None)

    def _work(self) -> None:
        while (request := self._waiting.get()) is not None:
            self._finished.append((request, self._handle(request)))
            self._on_finished()
