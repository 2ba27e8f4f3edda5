"""Stores the answer to a request with an idempotency key."""

import asyncio
from collections.abc import Callable, Coroutine
from typing import Any

from starlette.types import Message, Send

from app.core.ids import KeyedWork
from app.core.keys import Answer

# Refusals that the same body would get again.
DETERMINISTIC = {400, 422}

# The headers that describe the content. The others belong to a connection, a browser or
# a single request: hop-by-hop fields, cookies, dates, X-Request-ID.
SAFE_HEADERS = {b"content-type", b"content-language", b"location", b"link", b"etag"}


class AnswerRecorder:
    """Holds an answer back until it is complete and on its way to Redis.

    A body above the limit passes through and is not stored.
    """

    def __init__(
        self,
        send: Send,
        work: KeyedWork,
        limit: int,
        settle: Callable[[Answer | None], Coroutine[Any, Any, None]],
    ) -> None:
        self._send = send
        self._work = work
        self._limit = limit
        self._settle = settle
        self._start: Message = {}
        self._body = bytearray()
        self._held: list[Message] = []
        self._size = 0

    async def __call__(self, message: Message) -> None:
        """ASGI's ``send``."""
        self._held.append(message)
        if message["type"] == "http.response.start":
            self._start = message
            return
        part = message.get("body", b"")
        self._size += len(part)
        fits = self._size <= self._limit
        if fits:
            self._body += part
        if message.get("more_body", False):
            if not fits:
                await self._pass_on()
            return
        # Redis works while the answer travels; the command to Redis is sent first.
        settling = asyncio.create_task(self._settle(self._answer(fits)))
        await asyncio.sleep(0)
        try:
            await self._pass_on()
        finally:
            await settling

    async def _pass_on(self) -> None:
        held, self._held = self._held, []
        for message in held:
            await self._send(message)

    def _answer(self, fits: bool) -> Answer | None:
        status: int = self._start["status"]
        is_done = 200 <= status < 300
        # A refusal that is too long is not stored: repeating the request is harmless.
        if not (is_done or (status in DETERMINISTIC and fits)):
            return None
        headers = [
            (name.decode("latin-1"), value.decode("latin-1"))
            for name, value in self._start["headers"]
            if name.lower() in SAFE_HEADERS
        ]
        is_in_record = is_done and self._work.is_in_record
        body = bytes(self._body) if fits and not is_in_record else None
        if is_done and self._work.repeated_body is not None:
            body = self._work.repeated_body
        return Answer(status, headers, body, is_in_record)
