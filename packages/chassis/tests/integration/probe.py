"""A service that does what it is told, also the worst; run in place of `main.py`."""

import json
import logging
import os
import threading
import time
from pathlib import Path

from app.errors import ServiceError
from main import make_receiver


class Probe:
    """Does what the payload says: `{"do": ..., "seconds": ..., "note": path}`.

    With `note` it appends one line to that file before it does anything else, so that
    a test sees how often, and when, a request was begun.
    """

    def call(self, data: str) -> tuple[str, str]:
        payload = json.loads(data)["payload"]
        if path := payload.get("note"):
            with open(path, "a") as notes:
                notes.write(f"{payload.get('name', '')}\n")
        getattr(self, f"do_{payload['do']}")(payload)
        return json.dumps({"output": payload}), "probe"

    def do_answer(self, payload: dict[str, object]) -> None:
        pass

    def do_fail(self, payload: dict[str, object]) -> None:
        raise RuntimeError("told to fail")

    def do_refuse(self, payload: dict[str, object]) -> None:
        raise ServiceError("refused", "told to refuse")

    def do_block(self, payload: dict[str, object]) -> None:
        time.sleep(float(str(payload["seconds"])))

    def do_compute(self, payload: dict[str, object]) -> None:
        until = time.monotonic() + float(str(payload["seconds"]))
        while time.monotonic() < until:
            sum(range(1000))

    def do_wait_for_file(self, payload: dict[str, object]) -> None:
        while not Path(str(payload["file"])).exists():
            threading.Event().wait(0.01)


def main() -> None:
    logging.basicConfig(level=logging.DEBUG, format="%(levelname)s %(message)s")
    make_receiver(os.environ, Probe).run()


if __name__ == "__main__":
    main()
