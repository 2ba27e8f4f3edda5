"""What the speci men service does: put your own here."""

import json

from app.errors import ServiceError


class SpecimenService:
    """Repeats a text. One instance serves all threads: keep nothing on `self`."""

    def call(self, data: str) -> tuple[str, str]:
        """Takes the JSON of `{"payload": string, "description": string or null}`.

        Returns the JSON of the outcome, and the task type. Raises ServiceError with
        code `not_a_text`. A request may come twice: make that harmless.
        """
        request = json.loads(data)
        payload = request.get("payload") if isinstance(request, dict) else None
        if not isinstance(payload, str):
            raise ServiceError("not_a_text", "the payload must be a string")
        outcome = {"status": "success", "input": payload, "output": payload}
        return json.dumps(outcome), "speci-men"
