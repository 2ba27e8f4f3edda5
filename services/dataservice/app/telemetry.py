"""OpenTelemetry in this process: traces, metrics and logs, by OTLP.

OpenTelemetry's variables configure it; where none names an endpoint, its SDK is neither
imported nor started, and `start_telemetry` returns False.
"""

import logging
import os
import threading
import time
import uuid
from collections.abc import Callable
from importlib import import_module
from typing import Any

from app.histograms import exporting

VERSION = "0.1.0"
NAMESPACE = "fastapi-starter"
STOP_TIMEOUT = 3.0
TRANSPORTS = {"grpc": "grpc", "http/protobuf": "http"}

logger = logging.getLogger(__name__)

_shutdowns: list[Callable[[], Any]] = []


def start_telemetry(service: str) -> bool:
    """Starts exporting, if it is wanted; whether it is.

    `service` names this kind of process, unless OTEL_SERVICE_NAME does.
    """
    if os.environ.get("OTEL_SDK_DISABLED", "").strip().lower() == "true":
        return False
    signals = [name for name in ("TRACES", "METRICS", "LOGS") if _endpoint(name)]
    if not signals:
        return False
    resource = _resource(service)
    starters = {"TRACES": _start_traces, "METRICS": _start_metrics, "LOGS": _start_logs}
    for signal in signals:
        starters[signal](resource)
    logger.info("telemetry goes out by OTLP")
    return True


def stop_telemetry(timeout: float = STOP_TIMEOUT) -> None:
    """Sends what is left, for `timeout` seconds at the most.

    The SDK itself would wait much longer for a collector that is down.
    """
    threads = [threading.Thread(target=stop, daemon=True) for stop in _shutdowns]
    _shutdowns.clear()
    for thread in threads:
        thread.start()
    until = time.monotonic() + timeout
    for thread in threads:
        thread.join(max(0.0, until - time.monotonic()))


def _endpoint(signal: str) -> str | None:
    if os.environ.get(f"OTEL_{signal}_EXPORTER", "otlp").strip().lower() == "none":
        return None
    own = os.environ.get(f"OTEL_EXPORTER_OTLP_{signal}_ENDPOINT")
    return own or os.environ.get("OTEL_EXPORTER_OTLP_ENDPOINT") or None


def _resource(service: str) -> Any:
    from opentelemetry.sdk.resources import Resource

    # The environment wins over our defaults, but one instance is one process.
    told = Resource.create(
        {"service.instance.id": str(uuid.uuid4()), "process.pid": os.getpid()}
    )
    environment = os.environ.get("ENVIRONMENT", "development")
    resource = Resource(
        {
            "service.namespace": NAMESPACE,
            "service.version": VERSION,
            "deployment.environment.name": environment,
            # Its name before semantic conventions 1.27, by which SigNoz filters.
            "deployment.environment": environment,
        }
    ).merge(told)
    if str(told.attributes["service.name"]).startswith("unknown_service"):
        return resource.merge(Resource({"service.name": service}))
    return resource


def _exporters(signal: str, kind: str) -> Any:
    """The module with the exporters of a signal, by its protocol: gRPC if unset."""
    own = os.environ.get(f"OTEL_EXPORTER_OTLP_{signal}_PROTOCOL")
    protocol = own or os.environ.get("OTEL_EXPORTER_OTLP_PROTOCOL") or "grpc"
    if protocol not in TRANSPORTS:
        raise ValueError(
            f"OTEL_EXPORTER_OTLP_PROTOCOL: {protocol!r} is none of {[*TRANSPORTS]}"
        )
    package = f"opentelemetry.exporter.otlp.proto.{TRANSPORTS[protocol]}"
    return import_module(f"{package}.{kind}_exporter")


def _start_traces(resource: Any) -> None:
    from opentelemetry import trace
    from opentelemetry.sdk.trace import TracerProvider
    from opentelemetry.sdk.trace.export import BatchSpanProcessor

    provider = TracerProvider(resource=resource, shutdown_on_exit=False)
    exporter = _exporters("TRACES", "trace").OTLPSpanExporter()
    provider.add_span_processor(BatchSpanProcessor(exporter))
    trace.set_tracer_provider(provider)
    _shutdowns.append(provider.shutdown)


def _start_metrics(resource: Any) -> None:
    from opentelemetry import metrics
    from opentelemetry.sdk.metrics import MeterProvider
    from opentelemetry.sdk.metrics.export import PeriodicExportingMetricReader

    exporter = exporting(_exporters("METRICS", "metric").OTLPMetricExporter)
    reader = PeriodicExportingMetricReader(exporter())
    provider = MeterProvider([reader], resource, shutdown_on_exit=False)
    metrics.set_meter_provider(provider)
    _shutdowns.append(provider.shutdown)


def _start_logs(resource: Any) -> None:
    from opentelemetry.sdk._logs import LoggerProvider
    from opentelemetry.sdk._logs.export import BatchLogRecordProcessor

    from app.logs import OtlpHandler

    provider = LoggerProvider(resource, shutdown_on_exit=False)
    exporter = _exporters("LOGS", "_log").OTLPLogExporter()
    provider.add_log_record_processor(BatchLogRecordProcessor(exporter))
    handler = OtlpHandler(provider)
    logging.getLogger().addHandler(handler)

    def stop() -> None:
        logging.getLogger().removeHandler(handler)
        provider.shutdown()

    _shutdowns.append(stop)
