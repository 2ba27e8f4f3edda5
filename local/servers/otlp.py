"""The receiver of traces as a server of the stack: `make run ARGS=--traces`."""

import os
import sys

from local import ports
from local.apps import answers
from local.servers.base import Command, Server
from local.state import LOCAL, State


class TraceReceiver(Server):
    """Receives OTLP over gRPC, and returns its spans over HTTP on `port`."""

    name = "traces"
    stop_timeout = 5.0

    def __init__(self, state: State, grpc_port: int, http_port: int) -> None:
        super().__init__(state, http_port)
        self.grpc_port = grpc_port

    @property
    def address(self) -> str:
        return "`make traces` shows the last ones"

    @property
    def environment(self) -> dict[str, str]:
        """Variables that make our processes export here; only traces are shown."""
        return {
            "OTEL_EXPORTER_OTLP_ENDPOINT": f"http://{ports.at(self.grpc_port)}",
            "OTEL_EXPORTER_OTLP_PROTOCOL": "grpc",
            "OTEL_METRICS_EXPORTER": "none",
            "OTEL_LOGS_EXPORTER": "none",
            "OTEL_BSP_SCHEDULE_DELAY": "500",
        }

    def command(self) -> Command:
        argv = [sys.executable, "-m", "local.otlp", str(self.grpc_port), str(self.port)]
        return Command(argv, LOCAL.parent, dict(os.environ))

    def ready(self) -> bool:
        return answers(f"http://{ports.at(self.port)}/spans")
