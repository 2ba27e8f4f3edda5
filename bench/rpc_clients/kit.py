"""The kit's own client, as the API uses it. Needs `backend/` on the path."""

import asyncio
import sys
from typing import Any
from uuid import uuid4

import uvloop

from app.core.config import Settings  # type: ignore
from app.infrastructure.rabbitmq import AsyncEventProducer  # type: ignore
from bench.figures import Load
from bench.rpc_clients.closed_loop import PAYLOAD, measure
from chassis.rpc.client import RpcClient


async def run(in_flight: int, seconds: float) -> Load:
    """Call the data service."""
    settings = Settings()
    client = RpcClient(settings.rabbitmq, settings.rpc)
    producer = AsyncEventProducer(client, settings.rpc.timeout_seconds)
    client.start()
    await asyncio.to_thread(client.wait_connected, 10)

    async def call() -> Any:
        task_id = str(uuid4())
        queue = settings.services.get_service("data").queue
        reply = await producer.call(
            queue, PAYLOAD, task_id=task_id, correlation_id=task_id
        )
        return reply.outcome

    try:
        return await measure(call, in_flight, seconds)
    finally:
        await producer.close()


if __name__ == "__main__":
    print(uvloop.run(run(int(sys.argv[1]), float(sys.argv[2]))).to_json())
