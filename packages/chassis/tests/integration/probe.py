"""A service that does anything that a request says, even harm."""

import json
import os
import threading
import time
from pathlib import Path
from typing import Any

from opentelemetry import baggage, trace

from chassis.calls import call_service
from chassis.context import current_request_id
from chassis.errors import ServiceError
from chassis.service import serve


class ProbeService:
    """Answers with the payload, after it has done what the payload says: `{"do": ...}`.
    With `note` it first appends one line to that file, so that a test sees how often,
    and when, a request began.
    """

    def call(self, data: str) -> tuple[str, str]:
        payload = json.loads(data)["payload"]
        answer = {"output": payload, "request_id": current_request_id.get()}
        if isinstance(payload, dict):
            if path := payload.get("note"):
                with open(path, "a") as notes:
                    notes.write(f"{payload.get('name', '')}\n")
            if do := payload.get("do"):
                answer["returned"] = getattr(self, f"do_{do}")(payload)
        return json.dumps(answer), "probe"

    def do_fail(self, payload: dict[str, Any]) -> None:
        raise RuntimeError("told to fail")

    def do_refuse(self, payload: dict[str, Any]) -> None:
        raise ServiceError("told_to_refuse", "reason")

    def do_block(self, payload: dict[str, Any]) -> None:
        time.sleep(payload["seconds"])

    def do_compute(self, payload: dict[str, Any]) -> None:
        until = time.monotonic() + payload["seconds"]
        while time.monotonic() < until:
            sum(range(1000))

    def do_wait_for_file(self, payload: dict[str, Any]) -> None:
        while not Path(payload["file"]).exists():
            threading.Event().wait(0.01)

    def do_exit(self, payload: dict[str, Any]) -> None:
        # Others that were fetched with it have begun, too.
        time.sleep(payload["seconds"])
        os._exit(3)

    def do_show_trace(self, payload: dict[str, Any]) -> dict[str, Any]:
        state = trace.get_current_span().get_span_context().trace_state
        return {"baggage": dict(baggage.get_all()), "tracestate": dict(state)}

    def do_call(self, payload: dict[str, Any]) -> Any:
        return call_service(payload["queue"], {"payload": payload["payload"]})


if __name__ == "__main__":
    serve(ProbeService)
