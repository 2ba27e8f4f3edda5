"""Clients that continue to send requests while something breaks."""

import threading
from dataclasses import dataclass, field
from typing import Self

import httpx2
from httpx2 import Response

from tests.e2e.client import PROCESS, PROCESS_ASYNC, RECORDS, Api, wait_for
from tests.e2e.threads import Threads

PAUSE = 0.1  # seconds, between the requests of a client


@dataclass
class Traffic(Threads):
    """Sends requests from `clients` threads, to both endpoints in turn, from entry to
    exit."""

    api: Api
    clients: int = 8
    answers: list[Response] = field(default_factory=list)
    broken: list[httpx2.TransportError] = field(default_factory=list)

    def __post_init__(self) -> None:
        super().__init__()
        self._threads = [
            threading.Thread(target=self._ask, args=(number,))
            for number in range(self.clients)
        ]

    def __enter__(self) -> Self:
        super().__enter__()
        self.wait_success()
        return self

    def _ask(self, client: int) -> None:
        number = 0
        while not self._stopped.is_set():
            number += 1
            payload = f"{client}:{number}"
            path = PROCESS_ASYNC if number % 4 == 0 else PROCESS
            try:
                answer = self.api.post(path, payload, "reverse")
            except httpx2.TransportError as error:
                self.broken.append(error)
                continue
            self.answers.append(answer)
            if answer.status_code == 200:
                assert answer.json()["outcome"]["output"] == payload[::-1]
            # Without it, what restarts would get a part of the machine only.
            self._stopped.wait(PAUSE)

    def wait_success(self, count: int = 20, within: float = 60.0) -> None:
        """Wait until that many more synchronous requests have succeeded."""
        begin = len(self.answers)

        def enough() -> bool:
            return sum(a.status_code == 200 for a in self.answers[begin:]) >= count

        wait_for(enough, f"{count} successes", within)

    def wait_failure(self, within: float = 60.0) -> None:
        """Wait until a request has failed."""
        begin = len(self.answers)

        def failed() -> bool:
            return any(a.status_code >= 500 for a in self.answers[begin:])

        wait_for(failed, "a failure", within)

    @property
    def failures(self) -> list[Response]:
        """The answers that are not a success."""
        return [a for a in self.answers if a.status_code not in (200, 202)]

    def assert_nothing_lost(self) -> None:
        """Everything answered 200 is stored; everything accepted has ended well."""
        missing = set()
        for answer in self.answers:
            if answer.status_code in (200, 202):
                task_id = answer.headers["Location"].rpartition("/")[2]
                missing.add(task_id)
                if answer.status_code == 202:
                    self.api.wait_ended(task_id, within=120)
        # There are thousands, so read a hundred per request instead of one.
        for page in self.api.pages(RECORDS, limit=100):
            for record in page:
                if record["task_id"] in missing:
                    missing.remove(record["task_id"])
                    assert record["task_status"] == "Success", record
                    assert record["outcome"]["output"] == record["payload"][::-1]
            if not missing:
                return
        assert not missing
