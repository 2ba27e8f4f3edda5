"""kombu with a connection and a callback queue for each call; at most 16 threads."""

import json
import os
import sys

from bench.peers.kombu_rpc import call_once
from bench.peers.responder_kombu import QUEUE
from bench.rpc_clients.closed_loop import PAYLOAD, measure_threads

THREADS = 16

if __name__ == "__main__":
    url, body = os.environ["PEER_AMQP_URL"], json.dumps(PAYLOAD).encode()
    threads = min(THREADS, int(sys.argv[1]))
    load = measure_threads(
        lambda: call_once(url, QUEUE, body), threads, float(sys.argv[2])
    )
    print(load.to_json())
