"""Receives traces, metrics and logs over OTLP, with gRPC and HTTP."""

import gzip
import ssl
import threading
from collections import deque
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, Self
from urllib.parse import urlsplit

from opentelemetry.proto.collector.logs.v1 import logs_service_pb2 as logs_pb
from opentelemetry.proto.collector.metrics.v1 import metrics_service_pb2 as metrics_pb
from opentelemetry.proto.collector.trace.v1 import trace_service_pb2 as trace_pb

from local import ports
from local.otlp import grpc, model
from local.otlp.model import Log, Metric, Span
from local.tls import Tls, scheme

MOST_SPANS = 20_000
MOST_OTHERS = 5_000
TLS_NAME = "otel-collector"  # whose certificate it has

# For each signal: path over HTTP, service over gRPC, and its messages.
SIGNALS: dict[str, tuple[str, Any, Any]] = {
    "/v1/traces": (
        "opentelemetry.proto.collector.trace.v1.TraceService",
        trace_pb.ExportTraceServiceRequest,
        trace_pb.ExportTraceServiceResponse,
    ),
    "/v1/metrics": (
        "opentelemetry.proto.collector.metrics.v1.MetricsService",
        metrics_pb.ExportMetricsServiceRequest,
        metrics_pb.ExportMetricsServiceResponse,
    ),
    "/v1/logs": (
        "opentelemetry.proto.collector.logs.v1.LogsService",
        logs_pb.ExportLogsServiceRequest,
        logs_pb.ExportLogsServiceResponse,
    ),
}


class Receiver:
    """Keeps the newest data it receives. A context manager; ports may be 0.

    Over HTTP, `GET /spans` returns its spans, one JSON object per line.
    """

    def __init__(
        self, grpc_port: int = 0, http_port: int = 0, tls: Tls | None = None
    ) -> None:
        self._tls = tls
        self.spans: deque[Span] = deque(maxlen=MOST_SPANS)
        self.metrics: deque[Metric] = deque(maxlen=MOST_OTHERS)
        self.logs: deque[Log] = deque(maxlen=MOST_OTHERS)
        self.resources: deque[dict[str, Any]] = deque(maxlen=MOST_OTHERS)
        self._arrived = threading.Condition()
        self._open = threading.Event()
        self._open.set()
        self._grpc = grpc.server(
            ThreadPoolExecutor(4), options=[("grpc.so_reuseport", 0)]
        )
        self._grpc.add_generic_rpc_handlers([_grpc_handler(self._receive)])
        self.grpc_port = _listen(self._grpc, ports.at(grpc_port), tls)
        self._http = _HttpServer((ports.LOOPBACK, http_port), self)
        if tls:
            self._http.context = tls.server(TLS_NAME)
        self.http_port = int(self._http.server_address[1])

    @property
    def grpc_url(self) -> str:
        """OTEL_EXPORTER_OTLP_ENDPOINT for the protocol `grpc`."""
        return f"{scheme(self._tls)}://{ports.at(self.grpc_port)}"

    @property
    def http_url(self) -> str:
        """OTEL_EXPORTER_OTLP_ENDPOINT for the protocol `http/protobuf`."""
        return f"{scheme(self._tls)}://{ports.at(self.http_port)}"

    def __enter__(self) -> Self:
        self._grpc.start()
        threading.Thread(target=self._http.serve_forever, daemon=True).start()
        return self

    def __exit__(self, *_: object) -> None:
        self._open.set()
        self._grpc.stop(None)
        self._http.shutdown()
        self._http.server_close()

    def wait(self, found: Callable[[Self], Any], what: str, within: float = 20) -> Any:
        """Wait until `found` returns something true, and return that; else
        AssertionError."""
        with self._arrived:
            result = self._arrived.wait_for(lambda: found(self), within)
        assert result, f"not within {within:g} s: {what}"
        return result

    @contextmanager
    def hanging(self) -> Iterator[None]:
        """Accept connections and requests, but answer none until the block ends."""
        self._open.clear()
        try:
            yield
        finally:
            self._open.set()

    def trace(self, trace_id: str) -> list[Span]:
        """The spans of one trace, by start time."""
        mine = [span for span in self.spans.copy() if span.trace == trace_id]
        return sorted(mine, key=lambda span: span.start)

    def _receive(self, request: Any) -> None:
        self._open.wait()
        with self._arrived:
            self.resources.extend(model.resources(request))
            if isinstance(request, trace_pb.ExportTraceServiceRequest):
                self.spans.extend(model.spans(request))
            elif isinstance(request, metrics_pb.ExportMetricsServiceRequest):
                self.metrics.extend(model.metrics(request))
            else:
                self.logs.extend(model.logs(request))
            self._arrived.notify_all()


def _listen(server: Any, place: str, tls: Tls | None) -> int:
    """Returns the port."""
    if tls is None:
        return int(server.add_insecure_port(place))
    certificate, key = (file.read_bytes() for file in tls.certificate(TLS_NAME))
    credentials = grpc.ssl_server_credentials([(key, certificate)])
    return int(server.add_secure_port(place, credentials))


def _grpc_handler(receive: Callable[[Any], None]) -> Any:
    def export(answer: Any) -> Callable[[Any, Any], Any]:
        def handle(request: Any, _: Any) -> Any:
            receive(request)
            return answer()

        return handle

    methods = {}
    for service, request, answer in SIGNALS.values():
        methods[f"/{service}/Export"] = grpc.unary_unary_rpc_method_handler(
            export(answer),
            request_deserializer=request.FromString,
            response_serializer=answer.SerializeToString,
        )

    class Handler(grpc.GenericRpcHandler):  # type: ignore[misc]
        def service(self, details: Any) -> Any:
            return methods.get(details.method)

    return Handler()


class _HttpServer(ThreadingHTTPServer):
    daemon_threads = True
    context: ssl.SSLContext | None = None

    def __init__(self, address: tuple[str, int], receiver: Receiver) -> None:
        self.receiver = receiver
        self.address_family = ports.family(address[0])
        super().__init__(address, _HttpHandler)

    def finish_request(self, request: Any, client_address: Any) -> None:
        """In the thread of the request: a slow handshake delays no other."""
        if self.context:
            request.settimeout(10)
            request = self.context.wrap_socket(request, server_side=True)
        super().finish_request(request, client_address)

    def handle_error(self, request: Any, client_address: Any) -> None:
        """No log line: exporters that are stopped break their connections."""


class _HttpHandler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    server: _HttpServer

    def do_POST(self) -> None:
        """An export."""
        body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
        if self.headers.get("Content-Encoding") == "gzip":
            body = gzip.decompress(body)
        signal = SIGNALS.get(urlsplit(self.path).path)
        if signal is None:
            self._answer(404, b"")
            return
        _, request, answer = signal
        self.server.receiver._receive(request.FromString(body))
        self._answer(200, answer().SerializeToString())

    def do_GET(self) -> None:
        """All spans."""
        if self.path != "/spans":
            self._answer(404, b"")
            return
        spans = self.server.receiver.spans.copy()
        text = "".join(f"{span.to_json()}\n" for span in spans)
        self._answer(200, text.encode())

    def _answer(self, status: int, body: bytes) -> None:
        self.send_response(status)
        self.send_header("Content-Type", "application/x-protobuf")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_: Any) -> None:
        """Silence."""
