"""`python -m local.otlp GRPC_PORT HTTP_PORT [TLS_FOLDER]`: the receiver alone."""

import signal
import sys
import threading
from pathlib import Path

from local.otlp.receiver import Receiver
from local.tls import Tls

stop = threading.Event()
for number in (signal.SIGTERM, signal.SIGINT):
    signal.signal(number, lambda *_: stop.set())
tls = Tls(Path(sys.argv[3])) if len(sys.argv) > 3 else None
with Receiver(int(sys.argv[1]), int(sys.argv[2]), tls):
    stop.wait()
