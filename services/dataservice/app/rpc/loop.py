"""The I/O thread: receives, replies, reconnects, drains."""

import logging
import time
from collections.abc import Callable

from app.rpc.backoff import Backoff
from app.rpc.link import Link
from app.rpc.message import Outcome, Request, Settlement
from app.rpc.poller import Poller
from app.rpc.workers import WorkerPool

logger = logging.getLogger(__name__)

TICK_SECONDS = 1.0
#: A link that held this long makes the next loss wait from the start again.
STABLE_SECONDS = 10.0


class ReceiverLoop:
    """Runs until `stop()`: one link at a time, whatever happens to it.

    Stops in order: intake (cancel; what no handler has begun returns to the queue),
    running handlers (answered and settled, within `grace_seconds`), connection.
    """

    def __init__(
        self,
        make_link: Callable[[Callable[[Request], None]], Link],
        pool: WorkerPool,
        poller: Poller,
        grace_seconds: float,
        on_tick: Callable[[], None],
    ) -> None:
        self._make_link = make_link
        self._pool = pool
        self._poller = poller
        self._grace_seconds = grace_seconds
        self._on_tick = on_tick
        self._backoff = Backoff()
        self._last_failure = ""
        self._next_tick = 0.0
        self._stopping = False
        self._refused: list[Request] = []

    def stop(self) -> None:
        """Begins to drain. For any thread, and for signal handlers."""
        self._stopping = True
        self._poller.interrupt()

    def run(self) -> None:
        """Receives until stopped; never raises for the sake of a broker."""
        while not self._stopping:
            link = self._make_link(self._accept)
            opened_at = time.monotonic()
            try:
                self._serve(link)
            except Exception as error:
                self._poller.watch(())
                link.drop()
                # The broker gives to somebody else what no handler has begun.
                self._pool.withdraw()
                if time.monotonic() - opened_at > STABLE_SECONDS:
                    self._backoff.reset()
                self._pause(link, error)
        logger.info("stopped")

    def _serve(self, link: Link) -> None:
        link.open()
        self._last_failure = ""
        logger.info("receiving on %s", link)
        link.receive()
        while not self._stopping:
            self._turn(link, until=self._next_tick)
        self._drain(link)
        self._poller.watch(())
        link.close()

    def _accept(self, request: Request) -> None:
        if self._stopping:
            self._refused.append(request)
        else:
            self._pool.submit(request)

    def _drain(self, link: Link) -> None:
        deadline = time.monotonic() + self._grace_seconds
        link.cancel()
        self._refused += self._pool.withdraw()
        logger.info(
            "stopping: %d requests running, %d returned to the queue",
            self._pool.unfinished,
            len(self._refused),
        )
        self._return_refused(link)
        while self._pool.unfinished and time.monotonic() < deadline:
            self._turn(link, until=min(deadline, self._next_tick))
            self._return_refused(link)
        if self._pool.unfinished:
            logger.warning(
                "%d requests still run after %g s: they will be delivered again",
                self._pool.unfinished,
                self._grace_seconds,
            )

    def _return_refused(self, link: Link) -> None:
        refused, self._refused = self._refused, []
        if refused:
            requeue = Outcome(Settlement.REQUEUE)
            link.send([(request, requeue) for request in refused])

    def _turn(self, link: Link, until: float) -> None:
        """Waits for something to do, does it, and sends what has finished."""
        self._poller.watch(link.descriptors)
        self._poller.arm()
        if self._pool.has_finished:
            until = 0.0
        until = min(until, link.flush_at)
        if self._poller.wait(max(0.0, until - time.monotonic())):
            link.receive()
        if finished := self._pool.collect():
            link.send(finished)
        if time.monotonic() >= link.flush_at:
            link.flush()
        if self._tick():
            link.heartbeat()

    def _tick(self) -> bool:
        now = time.monotonic()
        if now < self._next_tick:
            return False
        self._next_tick = now + TICK_SECONDS
        self._on_tick()
        return True

    def _pause(self, link: Link, error: Exception) -> None:
        """Reports a new kind of failure once, and waits for the next attempt."""
        failure = f"{type(error).__name__}: {error}"
        if failure != self._last_failure:
            self._last_failure = failure
            expected = isinstance(error, link.errors)
            logger.warning(
                "lost %s: %s: trying again, with up to %g s between attempts",
                link,
                failure,
                self._backoff.longest,
                exc_info=None if expected else error,
            )
        until = time.monotonic() + self._backoff.next_delay()
        while not self._stopping and (left := until - time.monotonic()) > 0:
            self._poller.wait(min(left, TICK_SECONDS))
            self._tick()
