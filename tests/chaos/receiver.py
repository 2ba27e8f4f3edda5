"""A receiver of webhooks, which can be away."""

import json
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from threading import Thread

import httpx2
from standardwebhooks import Webhook, WebhookVerificationError

from local.ports import free_port

WEBHOOKS = "/api/v1/webhooks"
TYPES = ("record.accepted", "record.deleted")


class Server(ThreadingHTTPServer):
    """One thread for each connection."""

    daemon_threads = True

    def handle_error(self, *_: object) -> None:
        """A worker that is killed resets its connection."""


class Receiver:
    """Records the sequence of each event that it got."""

    def __init__(self) -> None:
        self.url = f"http://127.0.0.1:{free_port()}/"
        self.received: list[int] = []
        self.breaches: list[str] = []
        self._signer: Webhook | None = None
        self._server: Server | None = None

    def subscribe(self, url: str) -> None:
        """Get the events of all later changes from the system at this address."""
        content = {"url": self.url, "types": TYPES}
        answer = httpx2.post(f"{url}{WEBHOOKS}", json=content).raise_for_status()
        self.accept(Webhook(answer.json()["secret"]))

    def accept(self, signer: Webhook) -> None:
        """Take what is signed like this, and nothing else."""
        self._signer = signer

    def open(self) -> None:
        """Listen."""
        receiver = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"  # connections stay open

            def do_POST(self) -> None:
                body = self.rfile.read(int(self.headers["Content-Length"]))
                receiver.take(body, dict(self.headers.items()))
                self.send_response(204)
                self.end_headers()

            def log_message(self, *_: object) -> None:
                """Say nothing."""

        port = httpx2.URL(self.url).port or 0
        self._server = Server(("127.0.0.1", port), Handler)
        Thread(target=self._server.serve_forever, args=(0.05,), daemon=True).start()

    def close(self) -> None:
        """Refuse connections. Requests on open ones are still answered."""
        if self._server is not None:
            self._server.shutdown()
            self._server.server_close()
            self._server = None

    def take(self, body: bytes, headers: dict[str, str]) -> None:
        """Verify the signature, and note the event."""
        assert self._signer, "subscribe first"
        try:
            self._signer.verify(body, headers)
        except WebhookVerificationError as error:
            self.breaches.append(f"an invalid signature: {error}")
            return
        event = json.loads(body)
        if event["id"] != headers["webhook-id"]:
            self.breaches.append(f"{event['id']} came as {headers['webhook-id']}")
        self.received.append(int(event["sequence"]))
