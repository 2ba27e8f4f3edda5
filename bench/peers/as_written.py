"""The synchronous flow taken literally: a connection and a temporary callback queue
for each request, one commit for each log row and one for the record."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from uuid import uuid4

from fastapi import FastAPI
from fastapi.concurrency import run_in_threadpool

from bench.peers.kombu_rpc import call_once
from bench.peers.rows import (
    AMQP_URL,
    PeerRecord,
    Request,
    Result,
    SessionDep,
    create_tables,
    log,
)

QUEUE = "peer_kombu"


@asynccontextmanager
async def lifespan(_: FastAPI) -> AsyncIterator[None]:
    """The tables must be there."""
    await create_tables()
    yield


app = FastAPI(lifespan=lifespan)


@app.post("/process", response_model=Result)
async def process(request: Request, session: SessionDep) -> Result:
    """Log, call, log, store."""
    task_id = str(uuid4())
    session.add(log(task_id, "start"))
    await session.commit()
    body = request.model_dump_json().encode()
    outcome = await run_in_threadpool(call_once, AMQP_URL, QUEUE, body)
    session.add(log(task_id, "end"))
    await session.commit()
    record = PeerRecord(
        task_id=task_id,
        payload=request.payload,
        description=request.description,
        outcome=outcome,
    )
    session.add(record)
    await session.commit()
    await session.refresh(record)
    return Result(task_id="-", task_status="Success", outcome=outcome)
