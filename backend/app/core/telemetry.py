"""OpenTelemetry in one process: traces, metrics and logs, by OTLP.

Each process starts its own, after any fork. OpenTelemetry's variables configure it;
where none names an endpoint nothing is imported, started or recorded.
"""

import logging
import os
import threading
import time
import uuid
from collections.abc import Callable
from importlib import import_module
from typing import Any

from app import __version__
from app.core import tracing
from app.core.config import Settings
from app.core.histograms import exporting
from app.core.runtime_metrics import watch_process

logger = logging.getLogger(__name__)

NAMESPACE = "fastapi-starter"
STOP_TIMEOUT = 3.0
TRANSPORTS = {"grpc": "grpc", "http/protobuf": "http"}

_shutdowns: list[Callable[[], Any]] = []


def wanted() -> bool:
    """Whether the environment names an endpoint, and does not say no."""
    if os.environ.get("OTEL_SDK_DISABLED", "").strip().lower() == "true":
        return False
    return any(map(_endpoint, ("TRACES", "METRICS", "LOGS")))


def _endpoint(signal: str) -> str | None:
    if os.environ.get(f"OTEL_{signal}_EXPORTER", "otlp").strip().lower() == "none":
        return None
    own = os.environ.get(f"OTEL_EXPORTER_OTLP_{signal}_ENDPOINT")
    return own or os.environ.get("OTEL_EXPORTER_OTLP_ENDPOINT") or None


def start_telemetry(service: str, settings: Settings, *, edge: bool = False) -> None:
    """Start exporting, if it is wanted. Once per process, after it was forked.

    Args:
        service: the name of this kind of process, unless OTEL_SERVICE_NAME has one.
        edge: strangers call this process: it samples for itself what they have left
            unsampled.
    """
    if _shutdowns or not wanted():
        return
    resource = _resource(service, settings.environment)
    if _endpoint("TRACES"):
        _start_traces(resource, edge)
    if _endpoint("METRICS"):
        _start_metrics(resource)
    if _endpoint("LOGS"):
        _start_logs(resource)
    tracing.switch(True)
    watch_process()
    logger.info("Telemetry goes out by OTLP")


def stop_telemetry(timeout: float = STOP_TIMEOUT) -> None:
    """Send what is left, for ``timeout`` seconds at the most.

    A collector that is down would hold the SDK's own shutdown for half a minute, and
    its flush without bound: hence a thread that may be left behind.
    """
    tracing.switch(False)
    threads = [threading.Thread(target=stop, daemon=True) for stop in _shutdowns]
    _shutdowns.clear()
    for thread in threads:
        thread.start()
    until = time.monotonic() + timeout
    for thread in threads:
        thread.join(max(0.0, until - time.monotonic()))


def _resource(service: str, environment: str) -> Any:
    from opentelemetry.sdk.resources import Resource

    # What OTEL_SERVICE_NAME and OTEL_RESOURCE_ATTRIBUTES say wins over our defaults,
    # but one instance is one process, whatever they say.
    told = Resource.create(
        {"service.instance.id": str(uuid.uuid4()), "process.pid": os.getpid()}
    )
    resource = Resource(
        {
            "service.namespace": NAMESPACE,
            "service.version": __version__,
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


def _start_traces(resource: Any, edge: bool) -> None:
    from opentelemetry import trace
    from opentelemetry.sdk.trace import TracerProvider
    from opentelemetry.sdk.trace.export import BatchSpanProcessor

    from app.core.sampling import EdgeSampler

    provider = TracerProvider(resource=resource, shutdown_on_exit=False)
    if edge:
        provider.sampler = EdgeSampler(provider.sampler)
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

    from app.core.logs import OtlpHandler

    provider = LoggerProvider(resource, shutdown_on_exit=False)
    exporter = _exporters("LOGS", "_log").OTLPLogExporter()
    provider.add_log_record_processor(BatchLogRecordProcessor(exporter))
    handler = OtlpHandler(provider)
    logging.getLogger().addHandler(handler)

    def stop() -> None:
        logging.getLogger().removeHandler(handler)
        provider.shutdown()

    _shutdowns.append(stop)
