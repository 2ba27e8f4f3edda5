"""OpenTelemetry's SDK in one process: exports traces, metrics and logs over OTLP.

Each process starts its own, after any fork. OpenTelemetry's variables configure it;
without an endpoint nothing is imported, started or recorded.
"""

import atexit
import logging
import os
import threading
import time
import uuid
from collections.abc import Callable
from typing import Any

from chassis import __version__, otel_variables
from chassis.logs import add_context, is_worth_exporting
from chassis.telemetry import tracing
from chassis.telemetry.collector import CollectorFilter
from chassis.telemetry.process import watch_process

logger = logging.getLogger(__name__)

NAMESPACE = "fastapi-starter"
SIGNALS = ("TRACES", "METRICS", "LOGS")
STOP_TIMEOUT = 3.0

_shutdowns: list[Callable[[], Any]] = []


def start_telemetry(
    service: str,
    environment: str,
    *,
    is_edge: bool = False,
    trusts_callers: bool = True,
) -> bool:
    """Start exporting, if configured. Call it once per process, after any fork.

    Args:
        service: the name of this kind of process; OTEL_SERVICE_NAME replaces it.
        environment: ``development``, ``test`` or ``production``.
        is_edge: untrusted clients call this process; see
            ``chassis.telemetry.sampling``.
        trusts_callers: whether this edge keeps the traces that its callers sample.

    Returns:
        Whether this process exports.

    Raises:
        RuntimeError: OTEL_EXPORTER_OTLP_PROTOCOL or the like has a value that cannot
            work.
    """
    if _shutdowns or not _is_wanted():
        return bool(_shutdowns)
    if faults := list(otel_variables.faults(os.environ)):
        raise RuntimeError("\n".join(faults))
    for name in otel_variables.superfluous(os.environ):
        del os.environ[name]
    for signal in SIGNALS:
        exporter = "otlp" if _endpoint(signal) else "none"
        os.environ.setdefault(f"OTEL_{signal}_EXPORTER", exporter)
    _start_sdk(
        _attributes(service, environment), is_edge=is_edge, trusts=trusts_callers
    )
    tracing.set_enabled(True)
    complaints = CollectorFilter()
    for handler in logging.getLogger().handlers:
        handler.addFilter(complaints)
    watch_process()
    logger.info("Exporting telemetry over OTLP")
    return True


def stop_telemetry(timeout: float = STOP_TIMEOUT) -> None:
    """Export the remaining telemetry, within ``timeout`` seconds.

    With a collector that is down, the SDK's own shutdown takes half a minute, and its
    flush may take for ever. So both run in a thread that may be abandoned.
    """
    tracing.set_enabled(False)
    threads = [threading.Thread(target=stop, daemon=True) for stop in _shutdowns]
    _shutdowns.clear()
    for thread in threads:
        thread.start()
    until = time.monotonic() + timeout
    for thread in threads:
        thread.join(max(0.0, until - time.monotonic()))


def _is_wanted() -> bool:
    if os.environ.get("OTEL_SDK_DISABLED", "").strip().lower() == "true":
        return False
    return any(map(_endpoint, SIGNALS))


def _endpoint(signal: str) -> str | None:
    exporter = os.environ.get(f"OTEL_{signal}_EXPORTER", "").strip().lower()
    if exporter == "none":
        return None
    if exporter not in ("", "otlp"):
        return exporter  # console, for example, needs no endpoint
    own = os.environ.get(f"OTEL_EXPORTER_OTLP_{signal}_ENDPOINT")
    return own or os.environ.get("OTEL_EXPORTER_OTLP_ENDPOINT") or None


def _attributes(service: str, environment: str) -> dict[str, Any]:
    """OTEL_SERVICE_NAME and OTEL_RESOURCE_ATTRIBUTES override our defaults, except that
    every process has its own instance id."""
    from opentelemetry.sdk.resources import Resource

    given = Resource.create().attributes
    defaults = {
        "service.namespace": NAMESPACE,
        "service.version": __version__,
        "deployment.environment.name": environment,
        # The attribute's name before semantic conventions 1.27, which SigNoz filters
        # by.
        "deployment.environment": environment,
    }
    own = {name: value for name, value in defaults.items() if name not in given}
    if str(given["service.name"]).startswith("unknown_service"):
        own["service.name"] = service
    own["service.instance.id"] = str(uuid.uuid4())
    return {**own, "process.pid": os.getpid()}


def _start_sdk(attributes: dict[str, Any], *, is_edge: bool, trusts: bool) -> None:
    from opentelemetry import metrics, trace
    from opentelemetry.distro import OpenTelemetryConfigurator

    # OpenTelemetry's logs API has no public address but this one.
    from opentelemetry.instrumentation.logging import handler as otlp_logging

    from chassis.telemetry.sampling import ProcessSampler

    configurator: Any = OpenTelemetryConfigurator
    configurator().configure(
        resource_attributes=attributes, setup_logging_handler=False
    )
    tracers: Any = trace.get_tracer_provider()
    tracers.sampler = ProcessSampler(
        tracers.sampler, is_edge=is_edge, trusts_callers=trusts
    )
    meters: Any = metrics.get_meter_provider()
    loggers: Any = otlp_logging.get_logger_provider()  # type: ignore[attr-defined]
    for provider in (tracers, meters, loggers):
        # Without a timeout, it would wait for a collector that is down.
        atexit.unregister(provider.shutdown)
    _shutdowns.extend([tracers.shutdown, meters.shutdown])
    if _endpoint("LOGS"):
        _shutdowns.append(_export_logs(otlp_logging.LoggingHandler, loggers))


def _export_logs(handler_class: Any, loggers: Any) -> Callable[[], None]:
    handler = handler_class(logger_provider=loggers)
    handler.addFilter(is_worth_exporting)
    handler.addFilter(add_context)
    # Python's logging flushes at exit in a new thread, which cannot start then.
    handler.flush = lambda: None
    logging.getLogger().addHandler(handler)

    def stop() -> None:
        logging.getLogger().removeHandler(handler)
        loggers.shutdown()

    return stop
