"""Logs the loss of a server: briefly, but completely.

One warning reports the loss and its reason, later ones at growing intervals that it
lasts, and one that it is over. Code that uses the server calls this at each attempt.
"""

import logging
import threading
import time

logger = logging.getLogger(__name__)

#: Seconds between two warnings of one kind: the first interval, and the longest.
FIRST_REMINDER, LONGEST_REMINDER = 60.0, 600.0

#: A server that was back for a shorter time does not end the outage.
STABLE_SECONDS = 5.0

AGAIN = "Connected to %s again after %.1f s"


class Outage:
    """The outages of one server, as one user in this process sees them; thread-safe.

    Args:
        what: the server, in words that follow "Lost": "Redis at cache:6379".
    """

    def __init__(self, what: str) -> None:
        self._what = what
        self._lock = threading.Lock()
        self._was_there = False
        #: When the outage began; None while the server answers.
        self._began: float | None = None
        #: When the server last came back.
        self._restored = -STABLE_SECONDS
        self._interval = FIRST_REMINDER
        self._next_warning = 0.0
        self._told: set[str] = set()
        #: Whether to log the end of this outage.
        self._owes_end = False

    @property
    def seconds(self) -> float:
        """For how long the server has not answered."""
        began = self._began
        return 0.0 if began is None else time.monotonic() - began

    def lost(
        self,
        error: BaseException | str,
        advice: str | None = None,
        *,
        is_bug: bool = False,
    ) -> None:
        """Report a failed attempt.

        Args:
            advice: what the error means here and what to do, if known. New advice is
                logged at once.
            is_bug: log the error with its traceback, and a new kind of error at once.
        """
        reason = " ".join(str(error).split())
        if isinstance(error, BaseException):  # a TimeoutError has no text
            reason = ": ".join(filter(None, (type(error).__name__, reason)))
        # A stopping server first resets connections, then refuses them: that is no
        # news.
        kind = advice or (type(error).__name__ if is_bug else "lost")
        with self._lock:
            now = time.monotonic()
            if self._began is None:
                self._begin(now)
            if kind in self._told and now < self._next_warning:
                return
            if not self._told:
                text = "Lost %s" if self._was_there else "No connection to %s"
            else:
                lasting = now - (self._began or now)
                text = f"Still no connection to %s after {lasting:.0f} s"
            self._told.add(kind)
            self._owes_end = True
            self._next_warning = now + self._interval
            self._interval = min(2 * self._interval, LONGEST_REMINDER)
        logger.warning(
            f"{text}: %s",
            self._what,
            f"{reason}: {advice}" if advice else reason,
            exc_info=error if isinstance(error, BaseException) and is_bug else None,
        )

    def _begin(self, now: float) -> None:
        if now - self._restored >= STABLE_SECONDS:
            self._told.clear()
            self._interval = FIRST_REMINDER
            self._next_warning = now
        self._began = now

    def restored(self, moment: float | None = None) -> bool:
        """Report a successful attempt, now or at a moment of the monotonic clock;
        returns whether the caller may log it, as the first one. Costs nothing without
        an outage."""
        if self._began is None and self._was_there:
            return False
        with self._lock:
            is_first, self._was_there = not self._was_there, True
            began, self._began = self._began, None
            if began is None:
                return is_first
            self._restored = moment or time.monotonic()
            owes_end, self._owes_end = self._owes_end, False
        if owes_end:
            text = "Connected to %s after %.1f s" if is_first else AGAIN
            logger.warning(text, self._what, self._restored - began)
        return is_first and not owes_end
