"""An event as the relay published it: JSON text, of which little is read."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from chassis import json_text
from chassis.events.event import InvalidEvent
from chassis.events.topology import PREVIOUS

# `data` comes last, and is not read. No other value contains this text: there, quotes
# are escaped.
DATA = b',"data":'


@dataclass(frozen=True, slots=True)
class PublishedEvent:
    """``previous`` is the sequence that was published before; None if it is not known.
    ``text`` is the whole CloudEvent."""

    sequence: int
    previous: int | None
    type: str
    subject: str
    owner: str | None
    text: str

    @classmethod
    def read(cls, body: bytes, headers: Mapping[str, Any]) -> "PublishedEvent":
        """Read a message.

        Raises:
            InvalidEvent: it is none of the relay's.
        """
        head, found, _ = body.partition(DATA)
        try:
            read = json_text.loads((head + b"}" if found else body).decode())
            previous = headers.get(PREVIOUS)
            return cls(
                sequence=int(read["sequence"]),
                previous=None if previous is None else int(previous),
                type=str(read["type"]),
                subject=str(read["subject"]),
                owner=read.get("owner"),
                text=body.decode(),
            )
        except (ValueError, KeyError, TypeError, AttributeError) as error:
            raise InvalidEvent(f"this is no event: {error!r}") from error
