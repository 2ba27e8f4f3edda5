"""What is reported to OpenTelemetry's metrics."""

from typing import Any

import pytest
from opentelemetry.sdk.metrics import MeterProvider
from opentelemetry.sdk.metrics.export import InMemoryMetricReader

from chassis.telemetry import tracing


class Instrument:
    """Notes the values, with their attributes and contexts."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, module: Any, name: str) -> None:
        self.values: list[float] = []
        self.attributes: list[dict[str, Any]] = []
        self.contexts: list[Any] = []
        monkeypatch.setattr(module, name, self)

    def record(
        self, value: float, attributes: dict[str, Any], context: Any = None
    ) -> None:
        self.values.append(value)
        self.attributes.append(attributes)
        self.contexts.append(context)

    add = record


class Figures:
    """What instruments report when they are asked, with telemetry on."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self._reader = InMemoryMetricReader()
        meter = MeterProvider([self._reader]).get_meter("test")
        monkeypatch.setattr(tracing, "meter", meter)
        monkeypatch.setattr(tracing, "is_enabled", lambda: True)

    def points(self) -> dict[str, Any]:
        """The metrics by name."""
        data = self._reader.get_metrics_data()
        assert data
        found = data.resource_metrics[0].scope_metrics[0].metrics
        return {each.name: each for each in found}

    def read(self) -> dict[str, tuple[Any, str | None, dict[str, Any]]]:
        """Value, unit and attributes, by name."""
        return {
            name: (point.value, each.unit, dict(point.attributes))
            for name, each in self.points().items()
            for point in each.data.data_points
        }
