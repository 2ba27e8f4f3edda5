"""A service that receives the events of records; its effect is one row for each. The
inbox must make it one, however often an event arrives: `python -m
tests.chaos.subscriber`."""

from typing import Any

from chassis.events import Event, on
from chassis.events.topology import Subscription
from chassis.service import serve

NAME = "chaos"
RECORDS = Subscription(NAME, "record.*")


class ChaosService:
    """Nothing makes the rows unique: a second effect is a second row."""

    TABLES = """CREATE TABLE IF NOT EXISTS effects
        (number bigint GENERATED ALWAYS AS IDENTITY, sequence bigint, subject text)"""

    @on(RECORDS.pattern)
    def handle(self, event: Event, cursor: Any) -> None:
        """Add the event's row, in the transaction of the inbox."""
        row = [event.sequence, event.subject]
        cursor.execute("INSERT INTO effects (sequence, subject) VALUES (%s, %s)", row)


if __name__ == "__main__":
    serve(ChaosService, name=NAME)
