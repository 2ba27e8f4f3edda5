"""Stops what runs in the main thread on SIGTERM or SIGINT."""

import os
import signal
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from types import FrameType
from typing import Protocol


@contextmanager
def stopped_by_signals(stop: Callable[[], None]) -> Iterator[None]:
    """The first signal inside calls ``stop``, a second one ends the process at once.

    Outside the main thread it handles no signals.
    """
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    received = 0

    def on_signal(signum: int, frame: FrameType | None) -> None:
        nonlocal received
        received += 1
        if received > 1:
            os._exit(128 + signum)
        stop()

    before = {
        signum: signal.signal(signum, on_signal)
        for signum in (signal.SIGTERM, signal.SIGINT)
    }
    try:
        yield
    finally:
        for signum, handler in before.items():
            signal.signal(signum, handler)


class Part(Protocol):
    """Something that runs until it is stopped, and then drains.

    In the main thread, signals stop it.
    """

    def run(self) -> None: ...

    def stop(self) -> None: ...


def run_together(parts: Sequence[Part]) -> None:
    """Run all until a signal; they drain side by side. One alone runs in this thread.

    If one fails, the others stop, and the process exits with an error.
    """
    if len(parts) == 1:
        parts[0].run()
        return
    failed, main = threading.Event(), threading.get_ident()

    def run(part: Part) -> None:
        try:
            part.run()
        except BaseException:
            failed.set()
            # `raise_signal` would reach this thread, and not end the wait below.
            signal.pthread_kill(main, signal.SIGTERM)
            raise

    threads = [threading.Thread(target=run, args=(part,)) for part in parts]

    def stop() -> None:
        for part, thread in zip(parts, threads, strict=True):
            if thread.ident is None or thread.is_alive():  # not begun, or it runs
                part.stop()

    with stopped_by_signals(stop):
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    if failed.is_set():
        raise SystemExit(1)
