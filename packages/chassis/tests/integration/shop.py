"""A service that does what the data of an event says, in its transaction."""

import os
import time
from pathlib import Path
from typing import Any

from chassis.errors import ServiceUnavailable
from chassis.events import Event, on, topology
from chassis.service import serve


class ShopService:
    """Handles `shop.*` with a cursor, `plain.#` without."""

    TABLES = "CREATE TABLE IF NOT EXISTS effects (event text, at timestamptz)"

    def call(self, data: str) -> tuple[str, str]:
        return data, "shop"

    @on("shop.*")
    def handle(self, event: Event, cursor: Any) -> None:
        _note(event)
        statement = "INSERT INTO effects VALUES (%s, clock_timestamp())"
        cursor.execute(statement, [event.data["name"]])
        if do := event.data.get("do"):
            globals()[do](event, cursor)

    @on("plain.#")
    def handle_plainly(self, event: Event) -> None:
        _note(event)
        if event.data.get("do"):
            fail(event, None)


def _note(event: Event) -> None:
    with open(event.data["notes"], "a") as notes:
        notes.write(f"{event.data['name']}\n")


def fail(event: Event, cursor: Any) -> None:
    raise RuntimeError("told to fail")


def fail_once(event: Event, cursor: Any) -> None:
    lines = Path(event.data["notes"]).read_text().split()
    if lines.count(event.data["name"]) == 1:
        raise RuntimeError("told to fail once")


def swallow(event: Event, cursor: Any) -> None:
    try:
        cursor.execute("SELECT * FROM nowhere")
    except Exception:  # which leaves the transaction failed
        pass


def die(event: Event, cursor: Any) -> None:
    os._exit(3)


def commit_and_die(event: Event, cursor: Any) -> None:
    if not Path(event.data["gate"]).exists():
        Path(event.data["gate"]).touch()
        # As if the process was killed between the commit and the acknowledgement.
        cursor.connection.commit()
        os._exit(3)


def depend(event: Event, cursor: Any) -> None:
    if not Path(event.data["gate"]).exists():
        raise ServiceUnavailable("the other service is away")


def wait_for_gate(event: Event, cursor: Any) -> None:
    while not Path(event.data["gate"]).exists():
        time.sleep(0.01)


if __name__ == "__main__":
    topology.ATTEMPTS, topology.RETRY_SECONDS = 3, 0.3
    serve(ShopService, name=os.environ["SHOP"])
