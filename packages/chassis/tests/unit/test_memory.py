"""Freed memory returns to the system."""

import ctypes
import sys

import psutil
import pytest

from chassis.memory import (
    M_ARENA_MAX,
    M_MMAP_THRESHOLD,
    M_TRIM_THRESHOLD,
    give_back_memory,
)


@pytest.mark.skipif(sys.platform != "linux", reason="asks glibc")
def test_freed_blocks_return_to_the_system() -> None:
    if not give_back_memory():
        pytest.skip("another C library")
    process = psutil.Process()
    before = process.memory_info().rss
    for _ in range(3):
        blocks = [bytes([1]) * 1_000_000 for _ in range(50)]
        del blocks
    assert process.memory_info().rss < before + 10_000_000


class Library:
    """A C library; its `mallopt` refuses one option."""

    def __init__(self, refused: int | None = None) -> None:
        self.refused = refused
        self.asked: list[tuple[int, int]] = []

    def mallopt(self, option: int, value: int) -> int:
        self.asked.append((option, value))
        return int(option != self.refused)


def test_what_it_asks_of_glibc(monkeypatch: pytest.MonkeyPatch) -> None:
    library, other = Library(), Library(refused=M_ARENA_MAX)
    monkeypatch.setattr(sys, "platform", "linux")
    monkeypatch.setattr(ctypes, "CDLL", {None: library}.__getitem__)
    assert give_back_memory()
    wanted = [
        (M_ARENA_MAX, 2),
        (M_MMAP_THRESHOLD, 131_072),
        (M_TRIM_THRESHOLD, 131_072),
    ]
    assert library.asked == wanted
    monkeypatch.setattr(ctypes, "CDLL", lambda _: other)
    assert not give_back_memory()
    assert other.asked == wanted  # all, although one is refused


def test_other_systems_have_no_such_thing(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "platform", "linux")
    monkeypatch.setattr(ctypes, "CDLL", lambda _: object())
    assert give_back_memory() is False
    monkeypatch.setattr(sys, "platform", "darwin")
    monkeypatch.setattr(ctypes, "CDLL", lambda _: Library())
    assert give_back_memory() is False
