"""Metrics of the process itself: event loop, CPU time, memory."""

import asyncio
import os
import resource
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from pathlib import Path

from opentelemetry.metrics import CallbackOptions, Observation

from chassis.telemetry import tracing

LOOP_CHECK = 0.5

_lag = tracing.histogram(
    "app.event_loop.lag", "How late the event loop runs due callbacks."
)


@asynccontextmanager
async def watched_loop() -> AsyncIterator[None]:
    """Measure the lag of the running event loop, if telemetry is on."""
    if not tracing.is_enabled():
        yield
        return
    watcher = asyncio.create_task(_watch())
    try:
        yield
    finally:
        watcher.cancel()
        with suppress(asyncio.CancelledError):
            await watcher


async def _watch() -> None:
    loop = asyncio.get_running_loop()
    while True:
        due = loop.time() + LOOP_CHECK
        await asyncio.sleep(LOOP_CHECK)
        _lag.record(max(0.0, loop.time() - due))


def watch_process() -> None:
    """Report CPU time and memory of this process at each export."""
    tracing.meter.create_observable_counter(
        "process.cpu.time", [_cpu], unit="s", description="CPU time used."
    )
    tracing.meter.create_observable_up_down_counter(
        "process.memory.usage", [_memory], unit="By", description="Resident memory."
    )


def _cpu(_: CallbackOptions) -> list[Observation]:
    return [Observation(time.process_time())]


def _memory(_: CallbackOptions) -> list[Observation]:
    try:
        pages = int(Path("/proc/self/statm").read_text().split()[1])
    except OSError:  # not Linux: the peak so far
        return [Observation(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss)]
    return [Observation(pages * os.sysconf("SC_PAGE_SIZE"))]
