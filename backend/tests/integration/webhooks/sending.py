"""Creates webhooks, makes events for them, and sends what is due."""

import json
from dataclasses import dataclass
from datetime import timedelta
from typing import Any
from uuid import uuid4

from fastapi.testclient import TestClient
from sqlalchemy import text

from app.tasks.resources import get_worker_resources
from app.tasks.webhooks import send_webhooks
from tests.integration.hooks import Hook

WEBHOOKS = "/api/v1/webhooks"


@dataclass
class Webhook:
    """One of the API, for events of a type that only its test has."""

    client: TestClient
    type: str
    content: dict[str, Any]

    @property
    def path(self) -> str:
        return f"{WEBHOOKS}/{self.content['id']}"

    def read(self) -> dict[str, Any]:
        found: dict[str, Any] = self.client.get(self.path).json()
        return found

    def change(self, **content: Any) -> None:
        answer = self.client.patch(self.path, json=content)
        assert answer.status_code == 200, answer.text

    def deliveries(self) -> list[dict[str, Any]]:
        """The oldest first."""
        found: list[dict[str, Any]] = self.client.get(f"{self.path}/deliveries").json()
        return found[::-1]

    def statuses(self) -> list[str]:
        return [delivery["status"] for delivery in self.deliveries()]

    def happen(
        self, data: Any = None, kind: str = "one", owner: str | None = None
    ) -> str:
        """Add an event; returns its id."""
        query = """INSERT INTO record_events (type, subject, owner, data)
        VALUES (:type, 'it', :owner, :data) RETURNING event_id"""
        values = {"type": f"{self.type}.{kind}", "data": json.dumps(data)}
        return str(sql(query, owner=owner, **values)[0][0])


def create(client: TestClient, hook: Hook, **more: Any) -> Webhook:
    kind = f"t{uuid4().hex}"
    content = {"url": hook.url("/hook"), "types": [f"{kind}.*"], **more}
    answer = client.post(WEBHOOKS, json=content)
    assert answer.status_code == 201, answer.text
    return Webhook(client, kind, answer.json())


def sql(statement: str, **values: Any) -> Any:
    with get_worker_resources().engine.begin() as connection:
        found = connection.execute(text(statement), values)
        return found.all() if found.returns_rows else None


def run() -> None:
    send_webhooks.apply(throw=True)


def let_pass(**time: float) -> None:
    """As if that time had passed for every webhook."""
    for table, columns in (
        ("webhooks", ("resume_at", "failing_since", "previous_secret_until")),
        ("webhook_deliveries", ("first_attempt_at", "next_attempt_at")),
    ):
        earlier = ", ".join(f"{column} = {column} - :time" for column in columns)
        sql(f"UPDATE {table} SET {earlier}", time=timedelta(**time))
