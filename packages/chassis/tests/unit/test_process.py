"""What a process reports about itself."""

import asyncio
import os
import time
from pathlib import Path
from typing import Any

import pytest

from chassis.telemetry import process, tracing
from tests.unit.figures import Figures, Instrument


def test_processor_time_and_memory(monkeypatch: pytest.MonkeyPatch) -> None:
    figures = Figures(monkeypatch)
    process.watch_process()
    before, found, after = time.process_time(), figures.read(), time.process_time()
    seconds, unit, _ = found["process.cpu.time"]
    assert before <= seconds <= after and unit == "s"
    status = Path("/proc/self/status").read_text()
    resident = int(status.split("VmRSS:")[1].split()[0]) * 1024
    memory, unit, _ = found["process.memory.usage"]
    assert memory == pytest.approx(resident, rel=0.2) and unit == "By"


def test_where_there_is_no_proc_it_is_the_peak(monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(_: Path) -> str:
        raise FileNotFoundError

    monkeypatch.setattr(Path, "read_text", fail)
    figures = Figures(monkeypatch)
    process.watch_process()
    memory, _, _ = figures.read()["process.memory.usage"]
    assert memory > 0


async def test_a_loop_that_is_held_up_is_late(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tracing, "is_enabled", lambda: True)
    monkeypatch.setattr(process, "LOOP_CHECK", 0.01)
    lag: Any = Instrument(monkeypatch, process, "_lag")
    lag.record = lambda value: lag.values.append(value)
    async with process.watched_loop():
        await asyncio.sleep(0)  # the watcher begins to wait
        time.sleep(0.2)  # what nobody should do
        while not lag.values:
            await asyncio.sleep(0.01)
        assert 0.1 < lag.values[0] < 5
        watchers = asyncio.all_tasks() - {asyncio.current_task()}
        assert len(watchers) == 1
    assert len(asyncio.all_tasks()) == 1


async def test_without_telemetry_no_loop_is_watched() -> None:
    async with process.watched_loop():
        assert len(asyncio.all_tasks()) == 1


def test_memory_is_counted_in_bytes(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Path, "read_text", lambda _: "9000 7 5 1 0 3 0")
    figures = Figures(monkeypatch)
    process.watch_process()
    memory, _, _ = figures.read()["process.memory.usage"]
    assert memory == 7 * os.sysconf("SC_PAGE_SIZE")


def test_durations_are_in_seconds_and_in_buckets_of_ours(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """The defaults of OpenTelemetry are for milliseconds."""
    figures = Figures(monkeypatch)
    tracing.histogram("one", "For people.").record(0.02)
    tracing.histogram("two", "x", unit="By", bounds=(1, 10)).record(2)
    points = figures.points()
    one, two = points["one"], points["two"]
    assert (one.unit, one.description, two.unit) == ("s", "For people.", "By")
    assert one.data.data_points[0].explicit_bounds == tracing.DURATIONS
    assert two.data.data_points[0].explicit_bounds == (1, 10)
