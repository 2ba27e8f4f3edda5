"""FastAPI that stores a row, commits it, and calls Celery's `delay()` in place."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from uuid import uuid4

from fastapi import FastAPI

from bench.peers.rows import PeerRecord, Request, Result, SessionDep, create_tables
from bench.peers.stock_celery import process


@asynccontextmanager
async def lifespan(_: FastAPI) -> AsyncIterator[None]:
    """Create the tables."""
    await create_tables()
    yield


app = FastAPI(lifespan=lifespan)


@app.post("/process-async", status_code=202, response_model=Result)
async def process_async(request: Request, session: SessionDep) -> Result:
    """Store, commit, publish, answer."""
    task_id = str(uuid4())
    session.add(
        PeerRecord(
            task_id=task_id,
            payload=request.payload,
            description=request.description,
            task_status="Processing",
            outcome=None,
        )
    )
    await session.commit()
    process.delay(task_id, request.payload, request.description)
    return Result(task_id=task_id, task_status="Processing")
