"""The receiver of traces as a server of the stack: `make run ARGS=--traces`."""

import os
import sys
from pathlib import Path

from local import ports
from local.apps import answers
from local.servers.base import Command, Server
from local.state import LOCAL, State
from local.tls import scheme


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
    def url(self) -> str:
        """Where `make traces` finds the spans."""
        return f"{scheme(self.state.tls)}://{ports.at(self.port)}/spans"

    def note(self, file: Path) -> None:
        """Write down for `make traces` where it is."""
        tls = self.state.tls
        file.write_text("\n".join([self.url, *([str(tls.folder)] if tls else [])]))

    @property
    def environment(self) -> dict[str, str]:
        """Variables that make our processes export here; only traces are shown."""
        tls = self.state.tls
        place = ports.at(self.grpc_port)
        return {
            **({"OTEL_EXPORTER_OTLP_CERTIFICATE": str(tls.ca)} if tls else {}),
            "OTEL_EXPORTER_OTLP_ENDPOINT": f"{scheme(tls)}://{place}",
            "OTEL_EXPORTER_OTLP_PROTOCOL": "grpc",
            "OTEL_METRICS_EXPORTER": "none",
            "OTEL_LOGS_EXPORTER": "none",
            "OTEL_BSP_SCHEDULE_DELAY": "500",
        }

    def command(self) -> Command:
        argv = [sys.executable, "-m", "local.otlp", str(self.grpc_port), str(self.port)]
        argv += [str(self.state.tls.folder)] if self.state.tls else []
        return Command(argv, LOCAL.parent, dict(os.environ))

    def ready(self) -> bool:
        return answers(self.url, tls=self.state.tls)
