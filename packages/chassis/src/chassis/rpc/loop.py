"""A service's I/O thread: receives, replies, reconnects, drains."""

import logging
import time
from collections.abc import Callable

from chassis.rpc.backoff import Backoff
from chassis.rpc.intake import Intake
from chassis.rpc.poller import Poller
from chassis.rpc.wire import Outcome, Request, Settlement
from chassis.rpc.workers import WorkerPool

logger = logging.getLogger(__name__)

TICK_SECONDS = 1.0
#: A connection that held this long makes the next loss wait from the start again.
STABLE_SECONDS = 10.0


class ReceiverLoop:
    """Runs until `stop()`: one connection at a time, whatever happens to it.

    Stops in order: intake (cancel; what no handler has begun returns to the queue),
    running handlers (answered and settled, within `grace_seconds`), connection.
    """

    def __init__(
        self,
        new_intake: Callable[[Callable[[Request], None]], Intake],
        pool: WorkerPool,
        poller: Poller,
        grace_seconds: float,
        on_tick: Callable[[], None],
    ) -> None:
        self._new_intake = new_intake
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
        """Begin to drain. For any thread, and for signal handlers."""
        self._stopping = True
        self._poller.interrupt()

    def run(self) -> None:
        """Receive until stopped; never raises for the sake of a broker."""
        while not self._stopping:
            intake = self._new_intake(self._accept)
            opened_at = time.monotonic()
            try:
                self._serve(intake)
            except Exception as error:
                self._poller.watch(())
                intake.connection.drop()
                # The broker gives to somebody else what no handler has begun.
                self._pool.withdraw()
                if time.monotonic() - opened_at > STABLE_SECONDS:
                    self._backoff.reset()
                self._pause(intake, error)
        logger.info("Stopped")

    def _serve(self, intake: Intake) -> None:
        intake.open()
        self._last_failure = ""
        logger.info("Receiving on %s", intake)
        intake.connection.receive()
        while not self._stopping:
            self._turn(intake, until=self._next_tick)
        self._drain(intake)
        self._poller.watch(())
        intake.close()

    def _accept(self, request: Request) -> None:
        if self._stopping:
            self._refused.append(request)
        else:
            self._pool.submit(request)

    def _drain(self, intake: Intake) -> None:
        deadline = time.monotonic() + self._grace_seconds
        intake.cancel()
        self._refused += self._pool.withdraw()
        logger.info(
            "Stopping: %d requests running, %d returned to the queue",
            self._pool.unfinished,
            len(self._refused),
        )
        self._return_refused(intake)
        while self._pool.unfinished and time.monotonic() < deadline:
            self._turn(intake, until=min(deadline, self._next_tick))
            self._return_refused(intake)
        if self._pool.unfinished:
            logger.warning(
                "%d requests still run after %g s: they will be delivered again",
                self._pool.unfinished,
                self._grace_seconds,
            )

    def _return_refused(self, intake: Intake) -> None:
        refused, self._refused = self._refused, []
        if refused:
            requeue = Outcome(Settlement.REQUEUE)
            intake.send([(request, requeue) for request in refused])

    def _turn(self, intake: Intake, until: float) -> None:
        """Wait for something to do, do it, and send what has finished."""
        self._poller.watch(intake.connection.descriptors)
        self._poller.arm()
        if self._pool.has_finished:
            until = 0.0
        until = min(until, intake.flush_at)
        if self._poller.wait(max(0.0, until - time.monotonic())):
            intake.connection.receive()
        if finished := self._pool.collect():
            intake.send(finished)
        if time.monotonic() >= intake.flush_at:
            intake.flush()
        if self._tick():
            intake.connection.heartbeat()

    def _tick(self) -> bool:
        now = time.monotonic()
        if now < self._next_tick:
            return False
        self._next_tick = now + TICK_SECONDS
        self._on_tick()
        return True

    def _pause(self, intake: Intake, error: Exception) -> None:
        """Report a new kind of failure once, and wait for the next attempt."""
        failure = f"{type(error).__name__}: {error}"
        if failure != self._last_failure:
            self._last_failure = failure
            expected = isinstance(error, intake.errors)
            logger.warning(
                "Lost %s: %s: trying again, with up to %g s between attempts",
                intake,
                failure,
                self._backoff.longest,
                exc_info=None if expected else error,
            )
        until = time.monotonic() + self._backoff.next_delay()
        while not self._stopping and (left := until - time.monotonic()) > 0:
            self._poller.wait(min(left, TICK_SECONDS))
            self._tick()
