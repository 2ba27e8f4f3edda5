"""Clients that follow the contract: steady, patient, and recording what they saw.

They repeat a request until it succeeds if it has a key or only reads. They send any
other POST once, because its outcome cannot be known.
"""

import itertools
import json
import random
import threading
import time
from collections.abc import Callable
from typing import Any

import amqp
import httpx2
from amqp.exceptions import MessageNacked
from httpx2 import Response

from local.servers.broker import Broker
from tests.chaos.ledger import UNSORTABLE, Attempt, Work
from tests.chaos.system import READ_TIMEOUT
from tests.e2e.client import LOGS, PROCESS, PROCESS_ASYNC, RECORDS
from tests.e2e.threads import Threads

PATIENCE = 90.0  # seconds during which a request is repeated
PAUSE = 0.5  # seconds before a repetition, if the answer names none
# The time that nginx waits for a connection to an API, then for its answer, with some
# slack.
DEADLINE = READ_TIMEOUT + 2 * 2 + 1
CONTRACT = {400, 404, 405, 409, 413, 415, 422, 429, 502, 503, 504}

SYNC, ASYNC, KEYED, READERS, FAULTY, DELETERS = 5, 3, 4, 2, 1, 1  # threads
RECENT = 200  # works
PERIOD = 0.12  # seconds between two requests of one thread
POISON_PERIOD = 4.0

BAD_INPUT: list[tuple[str, bytes, int]] = [
    (PROCESS, b'{"payload": ', 400),
    (PROCESS, b'{"payload": 1, "other": 2}', 422),
    (PROCESS, UNSORTABLE.encode(), 422),
    (PROCESS_ASYNC, b'{"payload": "\\ud800"}', 422),
    (PROCESS_ASYNC, b'{"payload": "x", "priority": "none"}', 422),
]


class Clients(Threads):
    """Send requests from entry to exit; `attempts` and `works` grow meanwhile."""

    def __init__(self, url: str, seed: int, pace: float = 1.0) -> None:
        super().__init__()
        self._period = PERIOD / pace
        self.attempts: list[Attempt] = []
        self.works: list[Work] = []
        self.breaches: list[str] = []
        self.mark = f"chaos-{seed}"
        self._numbers = itertools.count(1)
        limits = httpx2.Limits(max_connections=100)
        self._http = httpx2.Client(base_url=url, timeout=2 * DEADLINE, limits=limits)
        kinds: list[tuple[Callable[[random.Random], None], int]] = [
            (self._sync, SYNC),
            (self._async, ASYNC),
            (self._keyed, KEYED),
            (self._read, READERS),
            (self._bad_input, FAULTY),
            (self._delete, DELETERS),
        ]
        self._threads = [
            threading.Thread(target=self._ask, args=(act, random.Random(seed + n)))
            for act, count in kinds
            for n in range(count)
        ]

    def recovered(self) -> float:
        """Wait until requests of both kinds succeed; returns that moment.

        Raises:
            AssertionError: not within PATIENCE.
        """
        until = time.monotonic() + PATIENCE
        while not self._post(self._new(later=False)):
            assert time.monotonic() < until, "no request succeeds"
            time.sleep(PAUSE / 5)
        while not self._post(task := self._new(later=True)):
            assert time.monotonic() < until, "nothing is accepted"
            time.sleep(PAUSE / 5)
        while self._state(task) == "Processing":
            assert time.monotonic() < until, "an accepted task does not end"
        return time.monotonic()

    def _ask(self, act: Callable[[random.Random], None], chance: random.Random) -> None:
        while not self._stopped.wait(self._period * chance.uniform(0.5, 1.5)):
            act(chance)

    def _new(self, later: bool, **more: Any) -> Work:
        work = Work(f"{self.mark}-{next(self._numbers)}", later, **more)
        self.works.append(work)
        return work

    def _sync(self, _: random.Random) -> None:
        self._post(self._new(later=False))

    def _async(self, chance: random.Random) -> None:
        work = self._new(later=True, refused=chance.random() < 0.1)
        if self._post(work) and chance.random() < 0.1:
            self._state(work)

    def _keyed(self, chance: random.Random) -> None:
        key = f"key-{chance.getrandbits(64):x}"
        work = self._new(later=chance.random() < 0.3, key=key)
        if self._until_answered(lambda: self._send(work)) is None:
            self.breaches.append(f"never succeeded: {work.payload}, with a key")
        elif chance.random() < 0.1:
            self._repeat(work)

    def _repeat(self, work: Work) -> None:
        """Send the same again: the answer must equal the first one."""
        first = work.answer
        answer = self._send(work)
        if answer is None or answer.status_code >= 400:
            return  # it may fail, because Redis may be down
        if answer.json() != first:
            self.breaches.append(f"another answer for the same key: {work.task_id}")

    def _read(self, chance: random.Random) -> None:
        done = [work for work in self.works[-RECENT:] if work.answer]
        paths = [f"{RECORDS}?limit=5", f"{LOGS}?limit=5", "/health", "/api/v1/metrics"]
        if done:
            paths += [f"{RECORDS}/{chance.choice(done).task_id}"] * 4
        path = chance.choice(paths)
        answer = self._until_answered(lambda: self._attempt("GET", path))
        if answer is None and path != "/health":  # which answers 503 all that time
            self.breaches.append(f"GET {path} was not answered well")

    def _delete(self, chance: random.Random) -> None:
        """Delete a record that nobody reads any more: readers take recent ones."""
        done = [
            work
            for work in self.works[: -10 * RECENT]
            if work.answer and not (work.later or work.key or work.deleted)
        ]
        if not done or chance.random() < 0.5:
            return
        work = chance.choice(done)
        work.deleted = True
        path = f"{RECORDS}/{work.task_id}"
        statuses: list[int | None] = []

        def send() -> Response | None:
            answer = self._attempt("DELETE", path)
            statuses.append(None if answer is None else answer.status_code)
            return answer

        self._until_answered(send)
        # 404: an earlier attempt succeeded, and its answer was lost. It was this
        # client's, or nginx's, which sends a DELETE again when an API dies. The ledger
        # knows that there was a record.
        if statuses[-1] not in (204, 404):
            self.breaches.append(f"DELETE {path} was answered {statuses}")

    def _bad_input(self, chance: random.Random) -> None:
        path, body, expected = chance.choice(BAD_INPUT)
        answer = self._attempt("POST", path, body)
        if answer is None or answer.status_code >= 500:
            return
        if answer.status_code != expected:
            self.breaches.append(f"{body!r} was answered {answer.status_code}")

    def _state(self, work: Work) -> str:
        """The state of accepted work; waits a few seconds for its end."""
        path = f"{PROCESS_ASYNC}/{work.task_id}?wait=5"
        answer = self._until_answered(lambda: self._attempt("GET", path))
        if answer is None:
            self.breaches.append(f"accepted work is not known: {work.task_id}")
            return "Unknown"
        return str(answer.json()["task_status"])

    def _post(self, work: Work) -> bool:
        answer = self._send(work)
        return answer is not None and answer.status_code < 300

    def _send(self, work: Work) -> Response | None:
        path = PROCESS_ASYNC if work.later else PROCESS
        description = "sort" if work.refused else "reverse"
        body = json.dumps({"payload": work.sent, "description": description})
        headers = {"Idempotency-Key": work.key} if work.key else {}
        answer = self._attempt("POST", path, body.encode(), **headers)
        work.statuses.append(None if answer is None else answer.status_code)
        if answer is not None and answer.status_code < 300 and work.answer is None:
            work.task_id = answer.headers["Location"].rpartition("/")[2]
            work.answer = answer.json()
        return answer

    def _until_answered(self, send: Callable[[], Response | None]) -> Response | None:
        """The successful answer; None if there is none within PATIENCE, or can be
        none."""
        until = time.monotonic() + PATIENCE
        while True:
            answer = send()
            if answer is not None and answer.status_code < 300:
                return answer
            pause = PAUSE
            if answer is not None:
                if answer.status_code < 500 and answer.status_code not in (409, 429):
                    return None
                pause = min(2.0, float(answer.headers.get("Retry-After", PAUSE)))
            if time.monotonic() > until:
                return None
            time.sleep(pause)

    def _attempt(
        self, method: str, path: str, body: bytes | None = None, **headers: str
    ) -> Response | None:
        """Send and record one request; None if it was not answered."""
        what = f"{method} {path.partition('?')[0]}"
        if body is not None:
            headers["Content-Type"] = "application/json"
        began = time.monotonic()
        try:
            answer = self._http.request(method, path, content=body, headers=headers)
        except httpx2.TransportError as error:
            seconds = time.monotonic() - began
            self._note(began, seconds, what, None, type(error).__name__)
            return None
        seconds = time.monotonic() - began
        code = "" if answer.status_code < 300 else self._problem(what, answer)
        self._note(began, seconds, what, answer.status_code, code)
        return answer

    def _note(self, *values: Any) -> None:
        attempt = Attempt(*values)
        self.attempts.append(attempt)
        if attempt.seconds > DEADLINE:
            self.breaches.append(f"{attempt.what} took {attempt.seconds:.1f} s")

    def _problem(self, what: str, answer: Response) -> str:
        """The problem's code. An error outside the contract counts as a breach."""
        said = f"{what}: {answer.status_code} {answer.text[:200]}"
        if what == "GET /health" and answer.status_code == 503:
            return "health"  # the contract gives it the same body as a 200
        try:
            problem = answer.json()
            named = problem["request_id"] == answer.headers["X-Request-ID"] != ""
            code = str(problem["code"])
        except (ValueError, KeyError, TypeError):
            self.breaches.append(f"no problem of the contract: {said}")
            return "none"
        kind = answer.headers["Content-Type"]
        if not named or kind != "application/problem+json":
            self.breaches.append(f"no problem of the contract: {said}")
        if answer.status_code not in CONTRACT:
            self.breaches.append(f"no status of the contract: {said}")
        return code


class Poisoner(Threads):
    """Puts invalid messages into the queue now and then, from entry to exit. `sent` are
    those that RabbitMQ confirmed; `tried` also those that it may have received.
    """

    def __init__(self, rabbitmq: Broker, mark: str) -> None:
        super().__init__()
        self.sent: set[str] = set()
        self.tried: set[str] = set()
        self._rabbitmq, self._mark = rabbitmq, mark
        self._threads = [threading.Thread(target=self._poison)]

    def _poison(self) -> None:
        for number in itertools.count(1):
            if self._stopped.wait(POISON_PERIOD):
                return
            body = f"{self._mark}-poison-{number}"
            self.tried.add(body)
            try:
                with self._rabbitmq.connect() as connection:
                    channel = connection.channel()
                    message = amqp.Message(body, delivery_mode=2)
                    channel.basic_publish_confirm(
                        message, routing_key="data_queue", timeout=5
                    )
            except (OSError, amqp.AMQPError, MessageNacked):
                continue  # RabbitMQ is down just now, or its queue has no majority
            self.sent.add(body)
