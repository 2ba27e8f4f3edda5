"""py-amqp's transports, with read-ahead and combined writes.

py-amqp reads a message in nine small pieces and writes each frame separately. Both cost
more than everything else in a call. This module overrides public interfaces only:
``read_frame`` and ``write`` of transports, ``open`` of channels.
"""

import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from ssl import SSLWantReadError
from struct import Struct
from typing import Any

from amqp.exceptions import UnexpectedFrame
from amqp.transport import SSLTransport, TCPTransport
from kombu.transport import pyamqp

READ_AHEAD = 16 * 1024

_HEADER = Struct(">BHI")
_FRAME_END = 0xCE

#: Type, channel, payload.
Frame = tuple[int, int, bytes]


class ReadAhead:
    """A mixin for both transports of py-amqp."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        self._arrived = b""
        self._gathered: bytearray | None = None
        self._until: float | None = None
        super().__init__(*args, **kwargs)

    def read_frame(self, unpack: Any = None) -> Frame:
        """Read the next frame; extra bytes are kept for the one after.

        Raises:
            TimeoutError: the frame is missing or incomplete. The received part is kept.
            OSError: the connection is lost.
        """
        while len(self._arrived) < _HEADER.size:
            self._fill(_HEADER.size)
        kind, channel, size = _HEADER.unpack_from(self._arrived)
        end = _HEADER.size + size
        while len(self._arrived) <= end:
            self._fill(end + 1)
        frame, self._arrived = self._arrived[: end + 1], self._arrived[end + 1 :]
        if frame[end] != _FRAME_END:
            raise UnexpectedFrame(f"a frame ends with {frame[end]:#04x}")
        return kind, channel, frame[_HEADER.size : end]

    def _fill(self, wanted: int) -> None:
        """Read what is available, and continue until ``wanted`` bytes have arrived."""
        transport: Any = self
        if self._until is not None:
            left = self._until - time.monotonic()
            if left <= 0:
                raise TimeoutError("no answer from the broker")
            transport.sock.settimeout(left)
        try:
            data = transport.sock.recv(max(READ_AHEAD, wanted - len(self._arrived)))
        except (BlockingIOError, SSLWantReadError):
            raise TimeoutError from None
        except TimeoutError:
            raise
        except OSError:
            transport.connected = False
            raise
        if not data:
            transport.connected = False
            raise ConnectionResetError("the broker closed the connection")
        self._arrived += data

    def write(self, data: Any) -> None:
        """Send a frame, or keep it for the end of :meth:`one_write`."""
        if self._gathered is not None:
            self._gathered += data
        else:
            super().write(data)  # type: ignore[misc]

    @contextmanager
    def one_write(self) -> Iterator[None]:
        """Collect the frames written inside; nothing inside may wait for an answer.

        If an exception leaves the block, nothing is sent.
        """
        self._gathered = frames = bytearray()
        try:
            yield
        finally:
            self._gathered = None
        if frames:
            self.write(frames)

    @contextmanager
    def within(self, seconds: float) -> Iterator[None]:
        """Limit all waiting inside; a socket's own timeout restarts with each
        heartbeat."""
        self._until = time.monotonic() + seconds
        try:
            yield
        finally:
            self._until = None


class _Tcp(ReadAhead, TCPTransport):
    pass


class _Tls(ReadAhead, SSLTransport):
    pass


class _Channel(pyamqp.Channel):
    _was_opened = False

    def open(self) -> None:
        """Opens only once: py-amqp would reopen a channel that the broker closed, wait
        for it, and consume nothing on it."""
        if not self._was_opened:
            self._was_opened = True
            super().open()


class _Connection(pyamqp.Connection):
    Channel = _Channel

    def Transport(
        self,
        host: str,
        connect_timeout: float | None,
        ssl: bool | dict[str, Any] = False,
        read_timeout: float | None = None,
        write_timeout: float | None = None,
        socket_settings: Mapping[str, Any] | None = None,
        **options: Any,
    ) -> ReadAhead:
        """Called by py-amqp; ``ssl`` has the TLS options, if TLS is on."""
        return (_Tls if ssl else _Tcp)(
            host,
            connect_timeout=connect_timeout,
            ssl=ssl,
            read_timeout=read_timeout,
            write_timeout=write_timeout,
            socket_settings=socket_settings,
            **options,
        )


class ReadAheadTransport(pyamqp.Transport):
    """For ``kombu.Connection(transport=...)``."""

    Connection = _Connection
