"""The API, which also tells how long it held its event loop.

`python -m uvicorn watched:app --app-dir <this folder>`, in `backend/`.
"""

import asyncio
import time

from starlette.responses import JSONResponse
from starlette.types import Receive, Scope, Send

from main import app as api  # type: ignore[import-not-found]

PATH = "/longest-hold"
BEAT = 0.001  # seconds

longest = 0.0


async def app(scope: Scope, receive: Receive, send: Send) -> None:
    """`GET /longest-hold`: the longest since the last time, in seconds."""
    global longest
    if scope["type"] == "lifespan":
        watcher = asyncio.create_task(_watch())
        try:
            await api(scope, receive, send)
        finally:
            watcher.cancel()
    elif scope.get("path") == PATH:
        told, longest = longest, 0.0
        await JSONResponse(told)(scope, receive, send)
    else:
        await api(scope, receive, send)


async def _watch() -> None:
    """Time in which other processes had the processor does not count: this one then
    used none."""
    global longest
    while True:
        began, used = time.monotonic(), time.process_time()
        await asyncio.sleep(BEAT)
        late = time.monotonic() - began - BEAT
        longest = max(longest, min(late, time.process_time() - used))
