"""FastStream's request/reply."""

import os
import sys
from typing import Any

import uvloop
from faststream.rabbit import RabbitBroker  # type: ignore[import,unused-ignore]

from bench.figures import Load
from bench.peers.responder_faststream import QUEUE
from bench.rpc_clients.closed_loop import PAYLOAD, measure


async def run(in_flight: int, seconds: float) -> Load:
    """Call FastStream's responder."""
    broker = RabbitBroker(os.environ["PEER_AMQP_URL"], logger=None)
    await broker.connect()
    await broker.start()

    async def call() -> Any:
        reply = await broker.request(PAYLOAD, QUEUE, timeout=30)
        return await reply.decode()

    try:
        return await measure(call, in_flight, seconds)
    finally:
        await broker.stop()


if __name__ == "__main__":
    print(uvloop.run(run(int(sys.argv[1]), float(sys.argv[2]))).to_json())
