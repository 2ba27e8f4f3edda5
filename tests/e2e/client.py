"""A client of the system as an outsider writes it: only HTTP and JSON."""

import json
import ssl
import time
from collections.abc import Callable, Iterator
from itertools import chain, takewhile
from typing import Any, TypeVar

import httpx2
from httpx2 import Response

PROCESS = "/api/v1/data/process"
PROCESS_ASYNC = "/api/v1/data/process-async"
RECORDS = "/api/v1/database/records"
LOGS = "/api/v1/database/logs"

T = TypeVar("T")


def wait_for(ask: Callable[[], T | None], what: str, within: float = 30.0) -> T:
    """The first answer that is neither None nor False; asks every 20 ms."""
    until = time.monotonic() + within
    while True:
        answer = ask()
        if answer is not None and answer is not False:
            return answer
        assert time.monotonic() < until, f"not within {within:g} s: {what}"
        time.sleep(0.02)


def exact(value: Any) -> str:
    """Text to compare values exactly: 1 differs from 1.0, 0.0 from -0.0, and order
    counts."""
    return json.dumps(value)


class Api:
    """The operations of the API, for use from several threads."""

    def __init__(
        self,
        url: str,
        token: str | None = None,
        verify: ssl.SSLContext | bool = True,
    ) -> None:
        limits = httpx2.Limits(max_connections=100)
        self.http = httpx2.Client(
            base_url=url, timeout=60, limits=limits, verify=verify
        )
        if token is not None:
            self.http.headers["Authorization"] = f"Bearer {token}"

    def close(self) -> None:
        """Close the connections."""
        self.http.close()

    def post(self, path: str, payload: Any, description: str | None = None) -> Response:
        """Send a payload by one of the two endpoints."""
        body = {"payload": payload, "description": description}
        return self.send(path, json.dumps(body, ensure_ascii=False).encode())

    def send(self, path: str, body: bytes, **headers: str) -> Response:
        """Send any bytes as JSON."""
        headers = {"Content-Type": "application/json", **headers}
        return self.http.post(path, content=body, headers=headers)

    def process(self, payload: Any, description: str | None = None) -> dict[str, Any]:
        """Process at once; returns the stored record, checked against the answer."""
        answer = self.post(PROCESS, payload, description)
        assert answer.status_code == 200, answer.text
        result = answer.json()
        assert (result["task_id"], result["task_status"]) == ("-", "Success")
        record: dict[str, Any] = self.get_json(answer.headers["Location"])
        assert exact(record["outcome"]) == exact(result["outcome"])
        return record

    def process_async(
        self, payload: Any, description: str | None = None
    ) -> dict[str, Any]:
        """Submit the payload, and poll; returns the stored record, checked against the
        end."""
        answer = self.post(PROCESS_ASYNC, payload, description)
        assert answer.status_code == 202, answer.text
        accepted = answer.json()
        assert (accepted["task_status"], accepted["outcome"]) == ("Processing", None)
        location = answer.headers["Location"]
        assert location == f"{PROCESS_ASYNC}/{accepted['task_id']}"
        result = self.wait_ended(accepted["task_id"])
        record: dict[str, Any] = self.get_json(f"{RECORDS}/{accepted['task_id']}")
        assert record["task_status"] == result["task_status"]
        assert exact(record["outcome"]) == exact(result["outcome"])
        return record

    def wait_ended(self, task_id: str, within: float = 60.0) -> dict[str, Any]:
        """Poll until the work has ended."""

        def ended() -> dict[str, Any] | None:
            result = self.get_json(f"{PROCESS_ASYNC}/{task_id}")
            return result if result["task_status"] != "Processing" else None

        return wait_for(ended, f"the end of task {task_id}", within)

    def get_json(self, path: str, **parameters: Any) -> Any:
        """Send a GET that must be answered 200; returns the body."""
        answer = self.http.get(path, params=parameters or None)
        assert answer.status_code == 200, answer.text
        return answer.json()

    def pages(self, path: str, **parameters: Any) -> Iterator[list[dict[str, Any]]]:
        """Every page; follows the links from one to the next."""
        answer = self._page(path, params=parameters)
        while True:
            yield answer.json()
            if "next" not in answer.links:
                return
            answer = self._page(answer.links["next"]["url"])

    def _page(self, path: str, **options: Any) -> Response:
        """One page; repeats the request while a busy database takes too long."""

        def read() -> Response | None:
            answer = self.http.get(path, **options)
            return None if answer.status_code == 503 else answer

        answer = wait_for(read, f"the page {path}")
        assert answer.status_code == 200, answer.text
        return answer

    def newest(self, path: str) -> int:
        """The id of the newest row; 0 if there is none."""
        rows = self.get_json(path, limit=1)
        return int(rows[0]["id"]) if rows else 0

    def rows_since(
        self, newest: int, path: str, **parameters: Any
    ) -> Iterator[dict[str, Any]]:
        """Rows with a higher id, newest first; reads no older rows."""
        rows = chain.from_iterable(self.pages(path, limit=100, **parameters))
        return takewhile(lambda row: row["id"] > newest, rows)


def assert_problem(answer: Response, status: int, code: str | None = None) -> None:
    """Assert an error of the contract: problem+json (RFC 9457) that names the
    request."""
    assert answer.status_code == status, f"{answer.status_code}: {answer.text[:300]}"
    assert answer.headers["Content-Type"] == "application/problem+json"
    problem = answer.json()
    assert problem["status"] == status
    for member in ("type", "title", "detail"):
        assert isinstance(problem[member], str) and problem[member]
    assert problem["request_id"] == answer.headers["X-Request-ID"] != ""
    if code is not None:
        assert problem["code"] == code
    if status == 503:
        assert int(answer.headers["Retry-After"]) > 0
