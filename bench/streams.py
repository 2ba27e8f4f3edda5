"""`.venv/bin/python -m bench.streams --streams 1000`: what open streams of events cost.

Opens streams through the gateway, or with `--direct` at the API (nginx has room for
about 4,000). Then it sends requests at a rate, of which `--readers` more streams see
every event, and prints the API's memory and how long after its transaction began a
client has an event. Raise `ulimit -n` above three times the streams.
"""

import argparse
import asyncio
import json
import resource
import sys
import time
from datetime import datetime
from statistics import quantiles

import psutil

from bench.setting import open_setting, running, say
from bench.usage import MEGABYTE
from local.registry import lacks_demo
from local.stack import Stack

STREAM = "/api/v1/events/stream"
UNKNOWN = "?type=nothing.happens"
LIMITS = {
    "EVENTS_MAX_STREAMS": "20000",
    "EVENTS_MAX_STREAMS_OF_CALLER": "20000",
    "NGINX_CONNECTIONS": "20000",
}

Connection = tuple[asyncio.StreamReader, asyncio.StreamWriter]


def main(arguments: list[str]) -> int:
    """Print the figures as JSON and return the exit code."""
    parser = argparse.ArgumentParser(prog="bench.streams")
    parser.add_argument("--streams", type=int, default=1000)
    parser.add_argument("--readers", type=int, default=10)
    parser.add_argument("--rate", type=float, default=200)
    parser.add_argument("--seconds", type=int, default=20)
    parser.add_argument("--direct", action="store_true")
    options = parser.parse_args(arguments)
    if lacks_demo("bench.streams"):
        return 0
    _, most = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (most, most))
    with open_setting(seconds=options.seconds, rounds=1) as setting:
        kit = setting.kit(LIMITS)
        with running([*kit.processes][::-1]):
            print(json.dumps(asyncio.run(measure(kit, options)), indent=1))
    return 0


async def measure(kit: Stack, options: argparse.Namespace) -> dict[str, float]:
    """Open, send, and look at the clock."""
    port = kit.apis[0].port if options.direct else int(kit.url.rpartition(":")[2])
    process = psutil.Process(kit.apis[0].pid)
    found = {"idle_mb": process.memory_info().rss / MEGABYTE}
    idle: list[Connection] = []
    for number in range(options.streams):
        idle.append(await connect(port, STREAM + UNKNOWN))
        if number % 1000 == 999:
            say(f"{number + 1} streams: {process.memory_info().rss / MEGABYTE:.0f} MB")
    found["open_mb"] = process.memory_info().rss / MEGABYTE
    delays: list[float] = []
    readers = [
        asyncio.create_task(read(*await connect(port, STREAM), delays))
        for _ in range(options.readers)
    ]
    sent = await send(port, options.rate, options.seconds)
    await asyncio.sleep(2)
    for task in readers:
        assert not task.done(), task
        task.cancel()
    found |= {"requests": sent, "events": len(delays)}
    found["busy_mb"] = process.memory_info().rss / MEGABYTE
    cuts = quantiles(delays, n=100)
    found |= {"p50_ms": cuts[49] * 1000, "p99_ms": cuts[98] * 1000}
    for _, writer in idle:
        writer.close()
    return found


async def connect(port: int, path: str) -> Connection:
    """A stream whose header has arrived."""
    reader, writer = await asyncio.open_connection("127.0.0.1", port, limit=2**20)
    # HTTP/1.0 has no chunks, which may end within a line.
    writer.write(f"GET {path} HTTP/1.0\r\nHost: x\r\n\r\n".encode())
    head = await reader.readuntil(b"\r\n\r\n")
    assert head.startswith(b"HTTP/1.1 200"), head
    return reader, writer


async def read(
    reader: asyncio.StreamReader, _: asyncio.StreamWriter, delays: list[float]
) -> None:
    """Note how old each event is when it arrives."""
    while line := await reader.readline():
        if line.startswith(b"data: "):
            began = datetime.fromisoformat(json.loads(line[6:])["time"])
            delays.append(time.time() - began.timestamp())


async def send(port: int, rate: float, seconds: float) -> int:
    """Send requests at that rate over eight connections; returns how many."""
    body = b'{"payload":"hello","description":"uppercase"}'
    request = (
        b"POST /api/v1/data/process HTTP/1.1\r\nHost: x\r\n"
        b"Content-Type: application/json\r\nContent-Length: %d\r\n\r\n%s"
    ) % (len(body), body)
    connections = 8

    async def lane(number: int) -> int:
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        begin = time.monotonic() + number / rate
        sent = 0
        while (due := begin + sent * connections / rate) < begin + seconds:
            await asyncio.sleep(max(0, due - time.monotonic()))
            writer.write(request)
            head = await reader.readuntil(b"\r\n\r\n")
            assert head.startswith(b"HTTP/1.1 200"), head
            length = head.lower().partition(b"content-length: ")[2].partition(b"\r")[0]
            await reader.readexactly(int(length))
            sent += 1
        writer.close()
        return sent

    return sum(await asyncio.gather(*(lane(n) for n in range(connections))))


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
