"""What the speci men service does: put your own here."""

import json

from chassis.errors import ServiceError


class SpecimenService:
    """Repeats a text. One instance serves all threads: keep nothing on `self`."""

    def call(self, data: str) -> tuple[str, str]:
        """Takes the JSON of `{"payload": {"text", "times"}, "description"}`; what these
        may be, `backend/app/models/specimen.py` says.
        Decimals, dates and UUIDs arrive as text.

        Returns the JSON of the outcome, and the task type. Raises ServiceError with
        code `too_long`. A request may come twice: make that harmless.
        """
        payload = json.loads(data)["payload"]
        text = payload["text"] * payload["times"]
        if len(text) > 10_000:
            raise ServiceError("too_long", "the result has more than 10,000 characters")
        return json.dumps({"text": text, "length": len(text)}), "specimen"
