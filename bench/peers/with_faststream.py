"""FastAPI with FastStream's request/reply and SQLModel, one commit for all rows."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from uuid import uuid4

from fastapi import FastAPI
from faststream.rabbit import RabbitBroker  # type: ignore[import,unused-ignore]

from bench.peers.rows import (
    AMQP_URL,
    PeerRecord,
    Request,
    Result,
    SessionDep,
    create_tables,
    log,
)

QUEUE = "peer_faststream"

broker = RabbitBroker(AMQP_URL, logger=None)


@asynccontextmanager
async def lifespan(_: FastAPI) -> AsyncIterator[None]:
    """One broker connection for the process."""
    await create_tables()
    await broker.connect()
    await broker.start()
    yield
    await broker.stop()


app = FastAPI(lifespan=lifespan)


@app.post("/process", response_model=Result)
async def process(request: Request, session: SessionDep) -> Result:
    """Call, then store all rows."""
    task_id = str(uuid4())
    reply = await broker.request(request.model_dump(), QUEUE, timeout=30)
    outcome = await reply.decode()
    session.add(
        PeerRecord(
            task_id=task_id,
            payload=request.payload,
            description=request.description,
            outcome=outcome,
        )
    )
    session.add(log(task_id, "start"))
    session.add(log(task_id, "end"))
    await session.commit()
    return Result(task_id="-", task_status="Success", outcome=outcome)
