"""The speci men endpoint alone: no server is asked."""

from types import SimpleNamespace
from typing import Any

import pytest
from fastapi.testclient import TestClient

from app.application import create_app
from app.core.config import Settings
from app.models.schemas import DataRequest

URL = "/api/v1/speci-men/process"


class Double:
    """Stands for the process's service; remembers the queue."""

    queue = ""

    def on_queue(self, queue: str) -> "Double":
        self.queue = queue
        return self

    async def process(self, request: DataRequest) -> tuple[str, Any]:
        text = request.payload
        return "task-1", {"status": "success", "input": text, "output": text}


@pytest.fixture
def double() -> Double:
    return Double()


@pytest.fixture
def client(double: Double) -> TestClient:
    app = create_app(Settings())
    app.state.resources = SimpleNamespace(data_service=double)
    return TestClient(app)


def test_it_asks_the_queue_of_the_service(
    client: TestClient, double: Double, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("SPECIMEN_QUEUE_NAME", raising=False)
    answer = client.post(URL, json={"payload": "hello"})
    assert answer.status_code == 200, answer.text
    assert answer.json()["outcome"]["output"] == "hello"
    assert answer.headers["location"] == "/api/v1/database/records/task-1"
    assert double.queue == "specimen_queue"
    monkeypatch.setenv("SPECIMEN_QUEUE_NAME", "another_queue")
    client.post(URL, json={"payload": "hello"})
    assert double.queue == "another_queue"


@pytest.mark.parametrize("body", [{}, {"payload": 1}, {"payload": "a", "more": 1}])
def test_other_values_are_refused(client: TestClient, body: dict[str, Any]) -> None:
    assert client.post(URL, json=body).status_code == 422
