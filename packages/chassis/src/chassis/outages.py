"""What a process says when it loses something that it needs: little, and all of it.

One warning tells of the loss and its reason, later ones at growing intervals that it
lasts, and one that it is over. Whoever tries calls this at each attempt.
"""

import logging
import threading
import time

logger = logging.getLogger(__name__)

#: Seconds from a warning to the next of the same kind: the first, and the longest.
FIRST_REMINDER, LONGEST_REMINDER = 60.0, 600.0

#: What was back for a shorter time has not been back: it is one outage.
STABLE_SECONDS = 5.0

AGAIN = "Connected to %s again after %.1f s"


class Outage:
    """Of one server, as one of its users in this process sees it; for any thread.

    Args:
        what: the server, in words that fit behind "Lost": "Redis at cache:6379".
    """

    def __init__(self, what: str) -> None:
        self._what = what
        self._lock = threading.Lock()
        self._was_there = False
        #: When the outage began; None while all is well.
        self._began: float | None = None
        #: When all was well again, for the last time.
        self._restored = -STABLE_SECONDS
        self._interval = FIRST_REMINDER
        self._next_warning = 0.0
        self._told: set[str] = set()
        #: Whether the end of this outage is to be told.
        self._owes_end = False

    def lost(
        self,
        error: BaseException | str,
        advice: str | None = None,
        *,
        is_bug: bool = False,
    ) -> None:
        """An attempt has failed.

        Args:
            advice: what the error means here and what to do, if that is known. Another
                advice than before is told at once.
            is_bug: the error is logged with its traceback; a new kind at once.
        """
        reason = " ".join(str(error).split())
        if isinstance(error, BaseException):  # a TimeoutError, say, has no text
            reason = ": ".join(filter(None, (type(error).__name__, reason)))
        # A server that goes resets connections first, and refuses them then: no news.
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
        """An attempt has succeeded, now or at a moment of the monotonic clock; whether
        that is worth a line of the caller's, as it is the first. Costs nothing while
        all is well."""
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
