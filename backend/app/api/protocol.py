"""The protocols of uvicorn, and what differs from its own.

What never reaches the application is answered with a problem. nginx answers such
requests itself; clients that reach the API without it get the same.
"""

from typing import Any

from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol
from uvicorn.protocols.websockets.websockets_sansio_impl import (
    WebSocketsSansIOProtocol,
)

from app.api.errors import phrase_of, problem
from app.api.event_streams import MAX_MESSAGE_BYTES, PING
from chassis.context import REQUEST_ID_HEADER, current_request_id, new_request_id

# Twice as much as nginx passes on; uvicorn has no limit.
MAX_HEAD_BYTES = 128 * 1024


class ProblemProtocol(HttpToolsProtocol):
    """HTTP/1.1 whose own refusals are problems."""

    _is_in_head = False
    _head_bytes = 0

    def on_message_begin(self) -> None:
        """The first byte of a request."""
        super().on_message_begin()
        self._is_in_head, self._head_bytes = True, 0

    def on_headers_complete(self) -> None:
        """The empty line after the header. An exception here means: malformed."""
        self._is_in_head = False
        if sum(name == b"host" for name, _ in self.headers) > 1:
            raise ValueError("more than one Host (RFC 9112, 3.2)")
        super().on_headers_complete()

    def data_received(self, data: bytes) -> None:
        """Parse what arrived; refuse a header without an end."""
        super().data_received(data)
        if self._is_in_head and not self.transport.is_closing():
            self._head_bytes += len(data)
            if self._head_bytes > MAX_HEAD_BYTES:
                self._refuse(431, "header_too_large", "The header is too large.")

    def send_400_response(self, msg: str) -> None:
        """uvicorn calls this when it cannot parse a request."""
        self._refuse(400, "malformed_request", "The request cannot be read.")

    def _refuse(self, status: int, code: str, detail: str) -> None:
        current_request_id.set(new_request_id())
        headers = {
            REQUEST_ID_HEADER: current_request_id.get(),
            "X-Content-Type-Options": "nosniff",
            "Connection": "close",
        }
        answer = problem(status, code, phrase_of(status), detail, headers)
        lines = [b"HTTP/1.1 %d %s" % (status, phrase_of(status).encode())]
        lines += [b"%s: %s" % header for header in answer.raw_headers]
        self.transport.write(b"\r\n".join([*lines, b"", bytes(answer.body)]))
        self.transport.close()


class AnsweringWebSocketProtocol(WebSocketsSansIOProtocol):
    """An application may refuse a handshake with an answer of its own. uvicorn sends
    that, and then logs an error as if there were none."""

    async def send(self, message: Any) -> None:
        """Called with each message of the application."""
        await super().send(message)
        is_answer = message["type"] == "websocket.http.response.body"
        if is_answer and not message.get("more_body", False):
            self.handshake_complete = True


#: For ``uvicorn.run`` and for the tests that serve in their own process.
PROTOCOLS: dict[str, Any] = {
    "http": ProblemProtocol,
    "ws": AnsweringWebSocketProtocol,
    # Clients of streams have nothing to say.
    "ws_max_size": MAX_MESSAGE_BYTES,
    "ws_ping_interval": PING,
    # Compression keeps memory for each connection.
    "ws_per_message_deflate": False,
}
