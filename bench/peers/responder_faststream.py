"""The data service of FastStream: `python -m bench.peers.responder_faststream`."""

import os
from typing import Any

import uvloop
from faststream import FastStream  # type: ignore[import,unused-ignore]
from faststream.rabbit import RabbitBroker  # type: ignore[import,unused-ignore]

QUEUE = "peer_faststream"


async def handle(request: dict[str, Any]) -> dict[str, Any]:
    """Return the reply."""
    return {"status": "success", "output": request["payload"].upper()}


if __name__ == "__main__":
    broker = RabbitBroker(os.environ["PEER_AMQP_URL"], logger=None)
    broker.subscriber(QUEUE)(handle)
    uvloop.run(FastStream(broker).run())
