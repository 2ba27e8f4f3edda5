"""Waits for sockets and for other threads at once."""

import os
import select
from collections.abc import Collection


class Poller:
    """poll() over some descriptors and a pipe that other threads write to.

    Wake-ups cost a system call only while the owner waits: between `wait` and the next
    `arm` it is awake, and looks for work before it waits again.
    """

    def __init__(self) -> None:
        self._read_fd, self._write_fd = os.pipe()
        os.set_blocking(self._read_fd, False)
        os.set_blocking(self._write_fd, False)
        self._poll = select.poll()
        self._poll.register(self._read_fd, select.POLLIN)
        self._watched: frozenset[int] = frozenset()
        self._armed = False

    def watch(self, descriptors: Collection[int]) -> None:
        """Replaces the descriptors whose readability ends the wait."""
        for gone in self._watched.difference(descriptors):
            self._poll.unregister(gone)
        for descriptor in descriptors:
            self._poll.register(descriptor, select.POLLIN)
        self._watched = frozenset(descriptors)

    def arm(self) -> None:
        """From here on `wake` ends the wait. Look for work after this, then wait."""
        self._armed = True

    def wait(self, seconds: float) -> bool:
        """Returns whether a watched descriptor is readable, or broken."""
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
        """Ends the wait if the owner waits, or is about to. For any thread."""
        if self._armed:
            self._armed = False
            self.interrupt()

    def interrupt(self) -> None:
        """Ends this wait or the next one. For any thread, and for signal handlers."""
        try:
            os.write(self._write_fd, b"\0")
        except BlockingIOError:
            pass  # full of wake-ups

    def close(self) -> None:
        os.close(self._read_fd)
        os.close(self._write_fd)
