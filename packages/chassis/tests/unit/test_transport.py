"""Read-ahead and combined writes, without a broker."""

import socket
import threading
import time
from collections.abc import Iterator
from itertools import pairwise
from struct import pack
from typing import Any

import pytest
from amqp.exceptions import UnexpectedFrame
from hypothesis import given
from hypothesis import strategies as st

from chassis.rpc.transport import READ_AHEAD, Frame, ReadAhead

frames = st.lists(
    st.tuples(
        st.sampled_from([1, 2, 3, 8]), st.integers(0, 2**16 - 1), st.binary(max_size=60)
    ),
    max_size=6,
)


def encode(*frames: Frame) -> bytes:
    return b"".join(
        pack(">BHI", kind, channel, len(payload)) + payload + b"\xce"
        for kind, channel, payload in frames
    )


class Socket:
    """Returns its chunks one by one, then nothing; `b""` is the end."""

    def __init__(self, *chunks: bytes) -> None:
        self.chunks = list(chunks)
        self.sizes: list[int] = []

    def recv(self, size: int) -> bytes:
        self.sizes.append(size)
        if not self.chunks:
            raise BlockingIOError
        chunk = self.chunks.pop(0)
        if len(chunk) > size:
            self.chunks.insert(0, chunk[size:])
        return chunk[:size]

    def settimeout(self, seconds: float) -> None: ...


class Plain:
    """The part of py-amqp's transport that the mixin needs."""

    def __init__(self, sock: Any) -> None:
        self.sock = sock
        self.connected = True
        self.written: list[bytes] = []

    def write(self, data: Any) -> None:
        self.written.append(bytes(data))


class Transport(ReadAhead, Plain):
    pass


def read_all(transport: Transport) -> list[Frame]:
    found: list[Frame] = []
    while True:
        try:
            found.append(transport.read_frame())
        except TimeoutError:
            return found


@given(frames, st.data())
def test_frames_may_be_cut_anywhere(frames: list[Frame], data: st.DataObject) -> None:
    sent = encode(*frames)
    cuts = data.draw(st.lists(st.integers(0, len(sent))))
    places = sorted({0, *cuts, len(sent)})
    sock = Socket()
    transport = Transport(sock)
    found = []
    for begin, end in pairwise(places):
        sock.chunks.append(sent[begin:end])
        found += read_all(transport)
    assert found == frames


def test_frames_that_come_byte_by_byte() -> None:
    expected: list[Frame] = [(1, 1, b"one"), (8, 0, b""), (3, 1, b"three" * 100)]
    sock = Socket()
    transport = Transport(sock)
    found = []
    for byte in encode(*expected):
        sock.chunks.append(bytes([byte]))
        found += read_all(transport)
    assert found == expected


def test_many_frames_cost_one_read() -> None:
    expected: list[Frame] = [(1, 1, b"%d" % number) for number in range(500)]
    sock = Socket(encode(*expected))
    transport = Transport(sock)
    assert [transport.read_frame() for _ in expected] == expected
    assert len(sock.sizes) == 1


def test_a_frame_larger_than_what_is_read_ahead() -> None:
    expected: list[Frame] = [(3, 1, bytes(range(256)) * 512), (8, 0, b"")]
    sock = Socket(encode(*expected))
    assert read_all(Transport(sock)) == expected
    assert sock.sizes[0] == READ_AHEAD
    assert len(sock.sizes) == 4  # not once per 16 KiB


@pytest.mark.parametrize("arrived", [b"", b"\x01\x00", encode((1, 1, b"long"))[:-1]])
def test_the_end_of_the_connection_is_a_loss(arrived: bytes) -> None:
    transport = Transport(Socket(*([arrived] if arrived else []), b""))
    with pytest.raises(ConnectionResetError):
        transport.read_frame()
    assert not transport.connected


def test_an_error_of_the_socket_is_a_loss() -> None:
    class Broken(Socket):
        def recv(self, size: int) -> bytes:
            raise ConnectionAbortedError

    transport = Transport(Broken())
    with pytest.raises(ConnectionAbortedError):
        transport.read_frame()
    assert not transport.connected


def test_invalid_frames_are_refused() -> None:
    with pytest.raises(UnexpectedFrame):
        Transport(Socket(encode((1, 1, b"x"))[:-1] + b"?")).read_frame()


@pytest.fixture
def pair() -> Iterator[tuple[socket.socket, socket.socket]]:
    near, far = socket.socketpair()
    with near, far:
        yield near, far


def test_waiting_is_bounded_even_with_heartbeats(
    pair: tuple[socket.socket, socket.socket],
) -> None:
    near, far = pair
    stop = threading.Event()

    def beat() -> None:
        while not stop.wait(0.05):
            far.sendall(encode((8, 0, b"")))

    thread = threading.Thread(target=beat)
    thread.start()
    transport, began = Transport(near), time.monotonic()
    try:
        with pytest.raises(TimeoutError), transport.within(0.4):
            while True:
                assert transport.read_frame() == (8, 0, b"")
    finally:
        stop.set()
        thread.join()
    assert 0.4 <= time.monotonic() - began < 5


def test_a_partial_frame_survives_a_timeout(
    pair: tuple[socket.socket, socket.socket],
) -> None:
    near, far = pair
    transport, sent = Transport(near), encode((1, 1, b"in two parts"))
    far.sendall(sent[:9])
    with pytest.raises(TimeoutError), transport.within(0.05):
        transport.read_frame()
    far.sendall(sent[9:])
    with transport.within(1):
        assert transport.read_frame() == (1, 1, b"in two parts")


def test_a_limit_ends_with_its_block() -> None:
    transport = Transport(Socket(encode((1, 1, b"later"))))
    with transport.within(0):
        pass
    assert transport.read_frame() == (1, 1, b"later")


def test_frames_are_written_together() -> None:
    transport = Transport(Socket())
    transport.write(memoryview(b"alone"))
    with transport.one_write():
        transport.write(memoryview(b"one "))
        transport.write(b"two")
        assert transport.written == [b"alone"]
    assert transport.written == [b"alone", b"one two"]
    with transport.one_write():
        pass
    assert len(transport.written) == 2


def test_a_failed_block_sends_nothing() -> None:
    transport = Transport(Socket())
    with pytest.raises(LookupError), transport.one_write():
        transport.write(b"half")
        raise LookupError
    transport.write(b"next")
    assert transport.written == [b"next"]
