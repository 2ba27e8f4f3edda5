"""Waits for sockets and for other threads at once."""

import os
import select
import threading
from collections.abc import Collection


class Poller:
    """poll() over some descriptors, and a pipe that other threads use to end the wait.

    A wake-up costs a system call only while the owner waits. Between :meth:`wait` and
    the next :meth:`arm` the owner is awake, and looks for work before it waits again.
    """

    def __init__(self) -> None:
        self._read_fd, self._write_fd = os.pipe()
        os.set_blocking(self._read_fd, False)
        os.set_blocking(self._write_fd, False)
        self._poll = select.poll()
        self._poll.register(self._read_fd, select.POLLIN)
        self._watched: frozenset[int] = frozenset()
        self._armed = False
        self._closed = False
        # Reentrant, because a signal handler may interrupt its holder.
        self._closing = threading.RLock()

    def watch(self, descriptors: Collection[int]) -> None:
        """Replace the descriptors that end the wait when they are readable."""
        wanted = frozenset(descriptors)
        if wanted != self._watched:
            for gone in self._watched - wanted:
                self._poll.unregister(gone)
            for new in wanted - self._watched:
                self._poll.register(new, select.POLLIN)
            self._watched = wanted

    def arm(self) -> None:
        """From now on, :meth:`wake` ends the wait. Look for work after this."""
        self._armed = True

    def wait(self, seconds: float) -> bool:
        """Wait; returns whether a watched descriptor is readable or broken."""
        events = self._poll.poll(seconds * 1000)
        self._armed = False
        readable = False
        for descriptor, _ in events:
            if descriptor == self._read_fd:
                os.read(self._read_fd, 4096)
            else:
                readable = True
        return readable

    def wake(self) -> None:
        """End the wait if the owner waits or is about to. Thread-safe."""
        if self._armed:
            self._armed = False
            self.interrupt()

    def interrupt(self) -> None:
        """End this wait or the next one. Thread-safe; also for signal handlers."""
        with self._closing:
            if self._closed:
                return  # the number may already be another file's
            try:
                os.write(self._write_fd, b"\0")
            except BlockingIOError:
                pass  # the pipe is full of wake-ups

    def close(self) -> None:
        """Close the pipe, after the last wait. Wake-ups that come later do nothing."""
        with self._closing:
            if not self._closed:
                self._closed = True
                os.close(self._read_fd)
                os.close(self._write_fd)
