"""The client of the smoke test: a stranger's view of the system, by HTTP alone."""

import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any
from uuid import uuid4

import httpx2

from app.smoke.plan import Example
from chassis.context import REQUEST_ID_HEADER

# Longer than the gateway waits for an answer: then the reason is in its answer.
TIMEOUT = httpx2.Timeout(60, connect=5)
PATIENCE = 30.0  # the longest that the API waits for the end of work
RECORDS = "/api/v1/database/records"


class Broken(Exception):
    """A promise is broken; the message says how."""


class Skipped(Exception):
    """A promise cannot be tried; the message says why."""


class System:
    """Sends requests and says what is wrong with an answer.

    ``made`` are the ids of the records that this made. Each request has an id that
    begins with ``run``: log lines, log rows, events and spans have it too. Accepted
    work has ``patience`` seconds to end.
    """

    def __init__(
        self, http: httpx2.Client, token: str | None, patience: float = PATIENCE
    ) -> None:
        self.patience = patience
        self.run = f"smoke-{uuid4().hex[:12]}"
        self.made: list[str] = []
        self._http = http
        self._own = {"Authorization": f"Bearer {token}"} if token else {}
        self._promises = 0

    @property
    def request_id(self) -> str:
        """The id of all requests for the current promise."""
        return f"{self.run}-{self._promises}"

    def begin(self) -> None:
        """The next promise."""
        self._promises += 1

    def ask(
        self, method: str, path: str, *expected: int, **options: Any
    ) -> httpx2.Response:
        """Send a request with the token. Raises Broken unless the answer has one of
        these status codes."""
        options["headers"] = {**self._headers(), **options.pop("headers", {})}
        answer = self._http.request(method, path, **options)
        return _expected(answer, expected)

    def ask_without_token(self, path: str) -> httpx2.Response:
        """Send a GET as nobody; any answer is returned."""
        headers = {REQUEST_ID_HEADER: self.request_id}
        return self._http.get(path, headers=headers)

    def read(self, path: str, **parameters: Any) -> Any:
        """The JSON of a GET that must succeed."""
        return self.ask("GET", path, 200, params=parameters or None).json()

    def send(self, example: Example, *expected: int, **headers: str) -> httpx2.Response:
        """Send the example; the record that it makes is deleted at the end."""
        answer = self.ask(
            "POST", example.path, *expected, json=example.body, headers=headers
        )
        place, _, task_id = answer.headers.get("Location", "").rpartition("/")
        has_record = place == RECORDS or place == example.path
        if has_record and task_id not in self.made:
            self.made.append(task_id)
        return answer

    @contextmanager
    def stream(self, path: str, **parameters: Any) -> Iterator[Iterator[str]]:
        """The types of a stream's events, until it ends. Raises Broken if it does not
        end in time."""
        options: Any = {"params": parameters, "headers": self._headers()}
        options["timeout"] = httpx2.Timeout(self.patience, connect=5)
        deadline = time.monotonic() + self.patience
        try:
            with self._http.stream("GET", path, **options) as answer:
                if answer.status_code != 200:
                    answer.read()
                _expected(answer, (200,))
                yield _types(answer.iter_lines(), deadline)
        except httpx2.ReadTimeout:
            raise Broken(f"the stream did not end in {self.patience:g} s") from None

    def _headers(self) -> dict[str, str]:
        return {REQUEST_ID_HEADER: self.request_id, **self._own}


def _types(lines: Iterator[str], deadline: float) -> Iterator[str]:
    for line in lines:  # a comment comes every 15 s
        if line.startswith("event: "):
            yield line.removeprefix("event: ")
        if time.monotonic() > deadline:
            raise httpx2.ReadTimeout("the stream goes on")


def _expected(answer: httpx2.Response, codes: tuple[int, ...]) -> httpx2.Response:
    if answer.status_code in codes:
        return answer
    try:
        problem = answer.json()
        text = f"{problem['code']}: {problem['detail']}"
    except (ValueError, KeyError, TypeError):
        text = answer.text[:100].strip() or "no body"
    raise Broken(f"{answer.status_code} {text}")
