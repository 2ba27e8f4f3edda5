"""``@on``: which events a method or a function handles."""

import inspect
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from typing import Any, TypeVar

from chassis.events.topology import PATTERN

#: The attribute of a decorated function.
PATTERNS = "event_patterns"

Decorated = TypeVar("Decorated", bound=Callable[..., None])


def on(pattern: str) -> Callable[[Decorated], Decorated]:
    """Decorate what handles the events of a pattern.

    ``record.succeeded`` is one type, ``record.*`` matches one more word, ``record.#``
    any number, ``#`` everything. The handler takes the Event and, if it wants one, a
    cursor of psycopg2: what it executes there is committed together with the fact that
    the event was received, so each event has its effect once. Without a cursor it may
    get an event again.

    Raises:
        ValueError: the pattern matches nothing.
    """
    if not PATTERN.fullmatch(pattern):
        raise ValueError(f"{pattern!r} is no pattern of event types, such as record.*")

    def mark(handler: Decorated) -> Decorated:
        patterns = (*getattr(handler, PATTERNS, ()), pattern)
        setattr(handler, PATTERNS, patterns)
        return handler

    return mark


@dataclass(frozen=True)
class Handler:
    """A pattern, and what handles its events."""

    pattern: str
    handle: Callable[..., None]

    @property
    def takes_cursor(self) -> bool:
        """Whether it wants a transaction."""
        return len(inspect.signature(self.handle).parameters) > 1


def handlers_of(
    service: object, functions: Iterable[Callable[..., None]]
) -> list[Handler]:
    """The handlers among the methods of a service, and functions.

    Raises:
        ValueError: two have the same pattern, or a function has none.
    """
    found = [*_handlers(service), *(each for f in functions for each in _patterns(f))]
    for function in functions:
        if not hasattr(function, PATTERNS):
            raise ValueError(f"{function} handles no events: decorate it with @on")
    patterns = [each.pattern for each in found]
    if twice := {each for each in patterns if patterns.count(each) > 1}:
        raise ValueError(f"more than one handler for {', '.join(twice)}: keep one")
    return found


def _handlers(service: object) -> Iterator[Handler]:
    for name in dir(type(service)):
        if hasattr(inspect.getattr_static(type(service), name), PATTERNS):
            yield from _patterns(getattr(service, name))


def _patterns(handle: Any) -> Iterator[Handler]:
    for pattern in getattr(handle, PATTERNS, ()):
        yield Handler(pattern, handle)
