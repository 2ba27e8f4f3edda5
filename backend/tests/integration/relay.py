"""A NAT in front of PostgreSQL, which forgets connections."""

import asyncio
from types import TracebackType
from typing import Self


class Nat:
    """Forwards connections until it forgets them; later ones work again."""

    def __init__(self, target: int) -> None:
        self._target = target
        self._open: list[tuple[asyncio.Event, asyncio.StreamWriter]] = []
        self._copies: list[asyncio.Future[tuple[None, None]]] = []
        self.port = 0

    async def __aenter__(self) -> Self:
        self._server = await asyncio.start_server(self._accept, "127.0.0.1", 0)
        self.port = self._server.sockets[0].getsockname()[1]
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._server.close()
        self.reset()
        await asyncio.gather(*self._copies)

    def drop(self) -> None:
        """Swallow, from now on, what open connections send."""
        for is_forgotten, _ in self._open:
            is_forgotten.set()

    def reset(self) -> None:
        """Reset all open connections."""
        for _, writer in self._open:
            writer.transport.abort()
        self._open.clear()

    async def _accept(
        self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter
    ) -> None:
        upstream = await asyncio.open_connection("127.0.0.1", self._target)
        is_forgotten = asyncio.Event()
        self._open += [(is_forgotten, writer), (is_forgotten, upstream[1])]
        copies = asyncio.gather(
            _copy(reader, upstream[1], is_forgotten),
            _copy(upstream[0], writer, is_forgotten),
        )
        self._copies.append(copies)
        await copies


async def _copy(
    source: asyncio.StreamReader,
    target: asyncio.StreamWriter,
    is_forgotten: asyncio.Event,
) -> None:
    try:
        while data := await source.read(65536):
            if not is_forgotten.is_set():
                target.write(data)
    except OSError:
        pass
    target.close()
