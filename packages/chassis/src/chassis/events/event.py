"""One event, as CloudEvents 1.0 has it: https://cloudevents.io."""

import re
from dataclasses import dataclass
from typing import Any

from chassis import json_text

CONTENT_TYPE = "application/cloudevents+json"

#: Types of events, such as ``order.created``; also routing keys.
TYPE = re.compile(r"[a-z][a-z0-9_]*(\.[a-z0-9_]+)+")

REQUIRED = ("id", "source", "type", "subject", "time")
#: The attributes that may be missing. The last four are extensions: ``owner`` may see
#: the event, ``actor`` caused it; both are subjects of tokens.
OPTIONAL = ("correlationid", "traceparent", "owner", "actor")


class InvalidEvent(ValueError):
    """The text is not an event of this system."""


@dataclass(frozen=True, slots=True)
class Event:
    """``sequence`` is its place in the log: later events have higher numbers, and no
    two the same. ``subject`` is what it is about, for a record its task id. ``time`` is
    in ISO 8601."""

    id: str
    source: str
    type: str
    subject: str
    sequence: int
    time: str
    data: Any
    correlationid: str | None = None
    traceparent: str | None = None
    owner: str | None = None
    actor: str | None = None

    @classmethod
    def parse(cls, body: bytes) -> "Event":
        """Read a CloudEvent in JSON. Unknown attributes are ignored: a later version
        may send more.

        Raises:
            InvalidEvent: it is none.
        """
        try:
            found = json_text.loads(body.decode())
            texts = {name: str(found[name]) for name in REQUIRED}
            return cls(
                sequence=int(found["sequence"]),
                data=found.get("data"),
                **texts,
                **{name: found.get(name) for name in OPTIONAL},
            )
        except (ValueError, KeyError, TypeError, AttributeError) as error:
            raise InvalidEvent(f"this is no event: {error!r}") from error


def event_json(*, sequence: int, data: str, **attributes: str | None) -> str:
    """The CloudEvent as JSON. ``data`` is JSON text already, and stays as it is."""
    given = {name: value for name, value in attributes.items() if value is not None}
    head = json_text.dumps(
        {
            "specversion": "1.0",
            **given,
            "sequence": str(sequence),
            "datacontenttype": "application/json",
        }
    )
    return f'{head[:-1]},"data":{data}}}'
