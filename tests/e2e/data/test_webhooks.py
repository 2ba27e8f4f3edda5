"""A webhook through the whole stack: gateway, API, PostgreSQL, beat, worker."""

from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from threading import Thread

import pytest
from standardwebhooks import Webhook

from tests.e2e.client import PROCESS, Api, wait_for

WEBHOOKS = "/api/v1/webhooks"


@contextmanager
def receiver() -> Iterator[tuple[str, list[tuple[dict[str, str], bytes]]]]:
    """Its address, and what it has received."""
    requests: list[tuple[dict[str, str], bytes]] = []

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["Content-Length"]))
            requests.append((dict(self.headers.items()), body))
            self.send_response(204)
            self.end_headers()

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    Thread(target=server.serve_forever, args=(0.05,), daemon=True).start()
    try:
        yield f"http://127.0.0.1:{server.server_port}/", requests
    finally:
        server.shutdown()
        server.server_close()


@pytest.mark.usefixtures("state")
def test_a_record_reaches_the_receiver(api: Api) -> None:
    for old in api.get_json(WEBHOOKS, limit=100):  # of generated requests
        api.http.delete(f"{WEBHOOKS}/{old['id']}").raise_for_status()
    with receiver() as (url, requests):
        content = {"url": url, "types": ["record.*"]}
        webhook = api.http.post(WEBHOOKS, json=content)
        assert webhook.status_code == 201, webhook.text
        place = webhook.headers["Location"]
        try:
            record = api.post(PROCESS, "hello").headers["Location"]
            task_id = record.rpartition("/")[2].encode()
            headers, body = wait_for(
                lambda: next((each for each in requests if task_id in each[1]), None),
                "the event at the receiver",
            )
            event = Webhook(webhook.json()["secret"]).verify(body, headers)
            assert event["type"] == "record.succeeded"
            assert event["data"]["payload"] == "hello"
            changed = api.http.patch(place, json={"enabled": False})
            assert changed.json()["disabled_at"]
        finally:
            assert api.http.delete(place).status_code == 204
