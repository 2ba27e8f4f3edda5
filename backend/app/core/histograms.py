"""Histograms that cost little to record.

One record costs the SDK of OpenTelemetry seven microseconds, and a request makes
several: in all more than its spans cost at 10% sampling. Here it costs one. The SDK
exports them with its own metrics; no exemplars are kept.
"""

import threading
import time
from bisect import bisect_left
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from opentelemetry.sdk.metrics.export import Metric, MetricsData

NO_ATTRIBUTES: Mapping[str, Any] = {}

_all: "list[Histogram]" = []


class Histogram:
    """Counts values by bucket, for each set of attributes.

    Attributes must come from a small set of values: nothing bounds their number here.
    Where it is recorded, they are always named in the same order.

    Args:
        name: as OpenTelemetry's conventions have it.
        unit: of the values, in UCUM.
        bounds: upper bounds of the buckets, ascending; one more is above the last.
    """

    def __init__(
        self, name: str, *, unit: str, description: str, bounds: Sequence[float]
    ) -> None:
        self.name, self.unit, self.description = name, unit, description
        self._bounds = tuple(bounds)
        self._points: dict[tuple[tuple[str, Any], ...], _Point] = {}
        self._since = time.time_ns()
        self._lock = threading.Lock()
        _all.append(self)

    def record(
        self, value: float, attributes: Mapping[str, Any] = NO_ATTRIBUTES
    ) -> None:
        """Count a value, from any thread."""
        key = tuple(attributes.items())
        bucket = bisect_left(self._bounds, value)
        with self._lock:
            point = self._points.get(key)
            if point is None:
                self._points[key] = point = _Point(len(self._bounds) + 1)
            point.buckets[bucket] += 1
            point.sum += value
            if value < point.least:
                point.least = value
            if value > point.most:
                point.most = value

    def collect(self, *, delta: bool) -> "Metric | None":
        """All that was recorded, since the last time if ``delta``; None for nothing."""
        from opentelemetry.sdk.metrics import export

        now = time.time_ns()
        with self._lock:
            since, points = self._since, self._points
            seen = [point.told(key, self._bounds) for key, point in points.items()]
            if delta:
                self._since, self._points = now, {}
        if not seen:
            return None
        kind = export.AggregationTemporality
        return export.Metric(
            self.name,
            self.description,
            self.unit,
            export.Histogram(
                [
                    export.HistogramDataPoint(
                        start_time_unix_nano=since, time_unix_nano=now, **point
                    )
                    for point in seen
                ],
                kind.DELTA if delta else kind.CUMULATIVE,
            ),
        )


class _Point:
    __slots__ = ("buckets", "least", "most", "sum")

    def __init__(self, buckets: int) -> None:
        self.buckets = [0] * buckets
        self.sum = 0.0
        self.least, self.most = float("inf"), float("-inf")

    def told(
        self, key: tuple[tuple[str, Any], ...], bounds: tuple[float, ...]
    ) -> dict[str, Any]:
        return {
            "attributes": dict(key),
            "count": sum(self.buckets),
            "sum": self.sum,
            "bucket_counts": tuple(self.buckets),
            "explicit_bounds": bounds,
            "min": self.least,
            "max": self.most,
        }


def exporting(exporter: type[Any]) -> type[Any]:
    """A metric exporter like the given one that sends these histograms too."""

    class WithHistograms(exporter):  # type: ignore[misc]
        def export(self, metrics_data: "MetricsData", *args: Any, **kwargs: Any) -> Any:
            from opentelemetry.sdk import metrics

            # As OTEL_EXPORTER_OTLP_METRICS_TEMPORALITY_PREFERENCE has it.
            temporality = self._preferred_temporality[metrics.Histogram]
            delta = temporality is metrics.export.AggregationTemporality.DELTA
            return super().export(_with_all(metrics_data, delta), *args, **kwargs)

    return WithHistograms


def _with_all(data: "MetricsData", delta: bool) -> "MetricsData":
    from opentelemetry.sdk.metrics.export import ScopeMetrics
    from opentelemetry.sdk.util.instrumentation import InstrumentationScope

    metrics = [m for histogram in _all if (m := histogram.collect(delta=delta))]
    own = ScopeMetrics(InstrumentationScope(__name__), metrics, "")
    resources = [
        replace(resource, scope_metrics=[*resource.scope_metrics, own])
        for resource in data.resource_metrics
    ]
    return replace(data, resource_metrics=resources)
