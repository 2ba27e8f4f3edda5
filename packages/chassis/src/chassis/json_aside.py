"""Large JSON, read and written outside the event loop.

The `json` module keeps the interpreter for as long as one text takes, also in a thread.
All such work of a process shares one thread, so the loop waits for one text at a time.
"""

import asyncio
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any, ParamSpec, TypeVar

from chassis import json_text

P = ParamSpec("P")
T = TypeVar("T")

#: From so many values or characters on, a value is large: writing it takes a
#: millisecond.
MANY, LONG = 1_000, 64 * 1024

_thread = ThreadPoolExecutor(1, "json")


def is_large(*values: Any) -> bool:
    """Whether their JSON is large; it looks no further than it has to."""
    waiting, size = list(values), 0
    while waiting:
        item = waiting.pop()
        inner: Any = ()
        if isinstance(item, str):
            size += len(item)
        elif isinstance(item, int):
            size += item.bit_length() // 3
        elif isinstance(item, dict):
            inner = (*item, *item.values()) if len(item) < MANY else item
        elif isinstance(item, list | tuple):
            inner = item
        size += len(inner) * (LONG // MANY)
        if size >= LONG:
            return True
        waiting += inner
    return False


async def run(function: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> T:
    """Run it in the thread for large JSON."""
    loop = asyncio.get_running_loop()
    return await loop.run_in_executor(_thread, lambda: function(*args, **kwargs))


async def write(value: Any) -> str:
    """As `json_text.dumps`; a large value is written in the thread."""
    if is_large(value):
        return await run(json_text.dumps, value)
    return json_text.dumps(value)
