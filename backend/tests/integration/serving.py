"""The API in this process, with its real server on a free port."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import uvicorn
from fastapi import FastAPI

from app.api.protocol import PROTOCOLS
from local.ports import free_port


@asynccontextmanager
async def serving(app: FastAPI, **options: object) -> AsyncIterator[str]:
    """Serve as `main.py` does; gives the address."""
    port = free_port()
    chosen: dict[str, object] = {**PROTOCOLS, "lifespan": "off"}
    config = uvicorn.Config(
        app,
        "127.0.0.1",
        port,
        log_config=None,
        access_log=False,
        timeout_graceful_shutdown=20,
        **{**chosen, **options},  # type: ignore[arg-type]
    )
    server = uvicorn.Server(config)
    task = asyncio.create_task(server.serve())
    async with asyncio.timeout(10):
        while not server.started:
            await asyncio.sleep(0.01)
    try:
        yield f"http://127.0.0.1:{port}"
    finally:
        server.should_exit = True
        await task
