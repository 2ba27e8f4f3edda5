"""The speci men service: put your own code here."""

import json

# if events
from psycopg2.extensions import cursor as Cursor

# end
from chassis.errors import ServiceError

# if events
from chassis.events import Event, on

COUNT = """
INSERT INTO happened VALUES ((%s::timestamptz AT TIME ZONE 'UTC')::date, %s, 1)
ON CONFLICT (day, type) DO UPDATE SET number = happened.number + 1
"""
# end


class SpecimenService:
    """Repeats a text. One instance serves all threads: keep no state on `self`."""

    # if events
    # Executed at each start, in the schema of this service.
    TABLES = """
        CREATE TABLE IF NOT EXISTS happened (
            day date, type text, number bigint NOT NULL, PRIMARY KEY (day, type)
        )
    """

    # end

    def call(self, data: str) -> tuple[str, str]:
        """Process the JSON of `{"payload": {"text", "times"}, "description"}`;
        `backend/app/models/specimen.py` declares these fields.
        Decimals, dates and UUIDs arrive as text.

        Returns the JSON of the outcome, and the task type. Raises ServiceError with
        code `too_long`. A request may be delivered twice: make repeating harmless.
        """
        payload = json.loads(data)["payload"]
        text = payload["text"] * payload["times"]
        if len(text) > 10_000:
            raise ServiceError("too_long", "the result has more than 10,000 characters")
        return json.dumps({"text": text, "length": len(text)}), "specimen"

    # if events
    @on("record.*")
    def count(self, event: Event, cursor: Cursor) -> None:
        """Count what happens to records, by type and day. The count is committed
        together with the event's id, so each event counts once."""
        cursor.execute(COUNT, [event.time, event.type])

    # end
