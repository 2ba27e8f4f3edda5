"""A service's I/O thread: receives, replies, reconnects, drains."""

import logging
import time
from collections.abc import Callable

from chassis.rpc.attempts import Attempts
from chassis.rpc.connection import LEAVE_SECONDS
from chassis.rpc.handling import report
from chassis.rpc.intake import Intake
from chassis.rpc.poller import Poller
from chassis.rpc.wire import Outcome, Request, Settlement
from chassis.rpc.workers import Finished, WorkerPool

logger = logging.getLogger(__name__)

TICK_SECONDS = 1.0


class ReceiverLoop:
    """Runs until `stop()`: one connection at a time, and a new one after a loss.

    Stops in order: intake (cancel; requests that no handler has begun return to the
    queue), running handlers (answered and settled, within `grace_seconds`), connection.
    It leaves a node that is about to stop in the same way, within LEAVE_SECONDS.
    """

    def __init__(
        self,
        new_intake: Callable[[Callable[[Request], None]], Intake],
        pool: WorkerPool,
        poller: Poller,
        grace_seconds: float,
        on_tick: Callable[[], None],
        on_connected: Callable[[bool], None] = lambda _: None,
        report: Callable[[str, list[Finished]], None] = report,
    ) -> None:
        self._new_intake = new_intake
        self._pool = pool
        self._poller = poller
        self._grace_seconds = grace_seconds
        self._on_tick = on_tick
        self._on_connected = on_connected
        self._report = report
        self._next_tick = 0.0
        self._stopping = False
        self._draining = False
        self._refused: list[Request] = []

    def stop(self) -> None:
        """Begin to drain. Thread-safe; also for signal handlers."""
        self._stopping = True
        self._poller.interrupt()

    def run(self) -> None:
        """Receive until stopped; never raises an error of the broker."""
        attempts: Attempts | None = None
        self._on_connected(False)  # perhaps a crashed process left it otherwise
        while not self._stopping:
            intake = self._new_intake(self._accept)
            attempts = attempts or Attempts(intake)
            try:
                self._serve(intake, attempts)
            except Exception as error:
                self._on_connected(False)
                self._poller.watch(())
                intake.connection.drop()
                # The broker delivers requests that no handler has begun to another
                # consumer.
                self._pool.withdraw()
                pause = attempts.failed(error, intake.connection, intake.errors)
                self._pause(pause)
        logger.info("Stopped")

    def _serve(self, intake: Intake, attempts: Attempts) -> None:
        self._draining = False
        intake.open()
        attempts.succeeded()
        self._on_connected(True)
        while not (self._stopping or intake.connection.is_leaving):
            self._turn(intake, until=self._next_tick)
        self._drain(intake)
        if self._stopping:
            self._on_connected(False)
        self._poller.watch(())
        intake.close()

    def _accept(self, request: Request) -> None:
        if self._draining:
            self._refused.append(request)
        else:
            self._pool.submit(request)

    def _drain(self, intake: Intake) -> None:
        self._draining = True
        began = time.monotonic()
        intake.cancel()
        self._refused += self._pool.withdraw()
        logger.info(
            "%s: %d requests running, %d returned to the queue",
            "Stopping" if self._stopping else "Leaving the node",
            self._pool.unfinished,
            len(self._refused),
        )
        self._return_refused(intake)
        while self._pool.unfinished and time.monotonic() < (
            deadline := began + self._drain_seconds
        ):
            self._turn(intake, until=min(deadline, self._next_tick))
            self._return_refused(intake)
        if self._pool.unfinished:
            logger.warning(
                "%d requests still run after %g s: they will be delivered again",
                self._pool.unfinished,
                self._drain_seconds,
            )

    @property
    def _drain_seconds(self) -> float:
        return self._grace_seconds if self._stopping else LEAVE_SECONDS

    def _return_refused(self, intake: Intake) -> None:
        refused, self._refused = self._refused, []
        if refused:
            requeue = Outcome(Settlement.REQUEUE)
            intake.send([(request, requeue) for request in refused])

    def _turn(self, intake: Intake, until: float) -> None:
        """Wait for something to do, do it, and send finished outcomes."""
        is_full = intake.is_full
        self._poller.watch(() if is_full else intake.connection.descriptors)
        self._poller.arm()
        goes_on = intake.is_behind and not is_full
        if self._pool.has_finished or goes_on:
            until = 0.0
        until = min(until, intake.flush_at)
        if self._poller.wait(max(0.0, until - time.monotonic())) or goes_on:
            intake.receive()
        if finished := self._pool.collect():
            try:
                intake.send(finished)
            finally:
                self._report(intake.queue_name, finished)
        if time.monotonic() >= intake.flush_at:
            intake.flush()
        if self._tick():
            if is_full:
                intake.receive()  # just one step: it includes the broker's heartbeats
            intake.connection.heartbeat()

    def _tick(self) -> bool:
        now = time.monotonic()
        if now < self._next_tick:
            return False
        self._next_tick = now + TICK_SECONDS
        self._on_tick()
        return True

    def _pause(self, seconds: float) -> None:
        """Wait for the next attempt, and keep the heartbeat file fresh meanwhile."""
        until = time.monotonic() + seconds
        while not self._stopping and (left := until - time.monotonic()) > 0:
            self._poller.wait(min(left, TICK_SECONDS))
            self._tick()
