"""Freed memory returns to the system."""

import sys

import psutil
import pytest

from chassis.memory import give_back_memory


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
