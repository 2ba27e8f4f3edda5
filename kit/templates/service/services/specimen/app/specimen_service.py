"""The speci men service: put your own code here."""

import json

from chassis.errors import ServiceError


class SpecimenService:
    """Repeats a text. One instance serves all threads: keep no state on `self`."""

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
