"""`python -m bench.steady`: does it stay as it is, over 200,000 requests and a million
rows?

Memory, descriptors and threads of the API and the data service; then the time of a
page of records, and of inserting one, in a small and in a large table, by turns.
"""

import re
import sys
import time
import urllib.request
from collections.abc import Callable
from statistics import median

import psutil

from bench import load
from bench.setting import Setting, open_setting, running
from local.servers.postgres import DATABASE
from local.stack import Stack

REQUESTS = 200_000
CONNECTIONS = 32
PAGES = 300
SIZES = (1_000, 1_000_000, 1_000, 1_000_000)
RECORDS = "/api/v1/database/records"

FILL = """
INSERT INTO data_processing_records
    (task_id, payload, description, task_type, task_status, outcome)
SELECT 'n-' || n, '"hello world"', 'uppercase', 'string', 'Success',
    '{"status": "success", "output": "HELLO WORLD"}'
FROM generate_series(1, %d) AS n
"""


def main() -> int:
    """Print the figures."""
    with open_setting(seconds=1, rounds=1) as setting:
        kit = setting.kit()
        with running([*kit.apis, *kit.services]):
            endure(kit)
            for rows in SIZES:
                print(f"{rows:>9,} rows: {measure(setting, kit, rows)}", flush=True)
    return 0


def endure(kit: Stack) -> None:
    """Requests, and now and then what the processes hold."""
    url, done = f"{kit.api_url}/api/v1/data/process", 0
    load.post(url, CONNECTIONS, 3)
    while done < REQUESTS:
        done += load.post(url, CONNECTIONS, 10).requests
        print(f"{done:>9,} requests: {held(kit)}", flush=True)


def held(kit: Stack) -> str:
    """Megabytes in RAM, descriptors and threads of each process."""
    parts = []
    for app in [*kit.apis, *kit.services]:
        process = psutil.Process(app.pid)
        memory = process.memory_info().rss / 1e6
        parts.append(
            f"{app.name} {memory:.1f} MB, {process.num_fds()} descriptors, "
            f"{process.num_threads()} threads"
        )
    return "; ".join(parts)


def measure(setting: Setting, kit: Stack, rows: int) -> str:
    """Milliseconds for the first page and the one that its link names, and inserts."""
    postgres = setting.servers.postgres
    postgres.execute("TRUNCATE data_processing_records, task_logs", DATABASE)
    postgres.execute(FILL % rows, DATABASE)
    postgres.execute("ANALYZE data_processing_records", DATABASE)
    url = f"{kit.api_url}/api/v1/data/process"
    busy, alone = load.post(url, CONNECTIONS, 5), load.post(url, 1, 5)
    first = f"{kit.api_url}{RECORDS}"
    following = kit.api_url + _next(first)
    return (
        f"first page {milliseconds(lambda: _get(first)):.2f} ms, "
        f"next {milliseconds(lambda: _get(following)):.2f} ms; "
        f"inserts {busy.requests / busy.seconds:,.0f}/s, alone {alone.p50:.2f} ms"
    )


def milliseconds(act: Callable[[], object]) -> float:
    """Median over PAGES times."""
    times = []
    for _ in range(PAGES):
        began = time.perf_counter()
        act()
        times.append(time.perf_counter() - began)
    return 1000 * median(times)


def _get(url: str) -> str:
    with urllib.request.urlopen(url) as answer:  # nosec: our own API
        answer.read()
        return str(answer.headers["Link"])


def _next(url: str) -> str:
    found = re.search(r'<([^>]+)>; *rel="?next', _get(url))
    assert found, "no link to the next page"
    return found[1]


if __name__ == "__main__":
    sys.exit(main())
