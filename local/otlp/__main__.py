"""`python -m local.otlp GRPC_PORT HTTP_PORT`: the receiver as a process."""

import signal
import sys
import threading

from local.otlp.receiver import Receiver

stop = threading.Event()
for number in (signal.SIGTERM, signal.SIGINT):
    signal.signal(number, lambda *_: stop.set())
with Receiver(int(sys.argv[1]), int(sys.argv[2])):
    stop.wait()
