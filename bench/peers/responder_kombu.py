"""The data service of the kombu peers: `python -m bench.peers.responder_kombu`."""

import json
import os
from typing import Any

from kombu import Connection, Consumer, Queue

QUEUE = "peer_kombu"


def main() -> None:
    """Answer until the process is ended."""
    connection = Connection(os.environ["PEER_AMQP_URL"])
    channel: Any = connection.channel()
    queue = Queue(QUEUE, durable=True)(channel)

    def on_message(message: Any) -> None:
        output = json.loads(message.body)["payload"].upper()
        properties = message.properties
        reply = channel.prepare_message(
            json.dumps({"status": "success", "output": output}).encode(),
            content_type="application/json",
            properties={
                "correlation_id": properties["correlation_id"],
                "delivery_mode": 1,
            },
        )
        channel.basic_publish(reply, exchange="", routing_key=properties["reply_to"])
        message.ack()

    consumer = Consumer(channel, [queue], on_message=on_message, accept=["json"])
    consumer.qos(prefetch_count=64)
    with consumer:
        while True:
            connection.drain_events()


if __name__ == "__main__":
    main()
