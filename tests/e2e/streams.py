"""Clients of streams of events: server-sent events as browsers read them."""

import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from httpx2 import Response

from tests.e2e.client import Api

EVENTS = "/api/v1/events"
STREAM = f"{EVENTS}/stream"


class EventSource:
    """One connection. `last_id` is what a browser sends when it comes back."""

    def __init__(self, answer: Response) -> None:
        self._lines = answer.iter_lines()
        self.last_id = ""
        self.retry = 0

    def __iter__(self) -> Iterator[dict[str, Any]]:
        """The events until the connection ends; `stream.closed` is one of them."""
        fields: dict[str, str] = {}
        for line in self._lines:
            if line:
                name, _, value = line.partition(": ")
                fields[name] = value
                continue
            self.last_id = fields.get("id", self.last_id)
            self.retry = int(fields.get("retry", self.retry))
            if "data" in fields:
                yield {"type": fields["event"], **json.loads(fields["data"])}
            fields = {}

    def until(self, subject: str, type: str = "record.succeeded") -> dict[str, Any]:
        """The next event of that type of a record."""
        for event in self:
            if (event.get("subject"), event["type"]) == (subject, type):
                return event
        raise AssertionError(f"the stream ended without {type} of {subject}")


@contextmanager
def event_source(
    api: Api, last_id: str = "", **parameters: Any
) -> Iterator[EventSource]:
    """Connect, as `EventSource` does; the answer must be 200."""
    headers = {"Last-Event-ID": last_id} if last_id else {}
    with api.http.stream("GET", STREAM, params=parameters, headers=headers) as answer:
        assert answer.status_code == 200, answer.read()
        yield EventSource(answer)


class Follower(threading.Thread):
    """Reads a stream in a thread, and comes back whenever it ends, until it has seen
    all wanted subjects. `faults` has what must not happen."""

    def __init__(self, apis: list[Api], wanted: set[str], last_id: str) -> None:
        super().__init__(daemon=True)
        self._apis = apis
        self._wanted = set(wanted)
        self._last_id = last_id
        self.seen: list[int] = []
        self.faults: list[str] = []
        self.connections = 0

    def run(self) -> None:
        """Each connection goes to the next API, and ends after some events."""
        while self._wanted:
            api = self._apis[self.connections % len(self._apis)]
            self.connections += 1
            try:
                self._read(api, 1 + self.connections % 7)
            except Exception as error:
                self.faults.append(repr(error))
                return

    def _read(self, api: Api, number: int) -> None:
        with event_source(api, self._last_id) as source:
            for event in source:
                if event["type"] == "stream.closed":
                    return
                sequence = int(event["sequence"])
                if self.seen and sequence <= self.seen[-1]:
                    self.faults.append(f"{sequence} comes after {self.seen[-1]}")
                self.seen.append(sequence)
                self._wanted.discard(event["subject"])
                self._last_id = source.last_id
                number -= 1
                if not number or not self._wanted:
                    return
