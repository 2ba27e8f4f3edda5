"""The metrics of the HTTP instrumentation."""

import pytest
from opentelemetry import metrics
from opentelemetry.sdk.metrics import MeterProvider
from opentelemetry.sdk.metrics.export import InMemoryMetricReader

from app.infrastructure import instrumentation
from app.infrastructure.instrumentation import HttpMeters


@pytest.fixture
def reader(monkeypatch: pytest.MonkeyPatch) -> InMemoryMetricReader:
    reader = InMemoryMetricReader()
    provider = MeterProvider([reader])
    monkeypatch.setattr(instrumentation, "get_meter_provider", lambda: provider)
    return reader


def read(reader: InMemoryMetricReader) -> dict[str, list[float]]:
    """The values of sums and the counts of histograms."""
    data = reader.get_metrics_data()
    found = data.resource_metrics[0].scope_metrics[0].metrics if data else []
    return {
        metric.name: [
            getattr(point, "value", getattr(point, "count", 0))
            for point in metric.data.data_points
        ]
        for metric in found
    }


def test_requests_in_flight_are_counted_whatever_their_attributes(
    reader: InMemoryMetricReader,
) -> None:
    counter = HttpMeters().get_meter("http").create_up_down_counter("in_flight")
    counter.add(1, {"http.request.method": "GET"})
    counter.add(1, {"http.request.method": "POST"})
    assert read(reader) == {"in_flight": [2]}
    counter.add(-1, {"http.request.method": "GET"})
    assert read(reader) == {"in_flight": [1]}


def test_durations_are_recorded_and_sizes_of_bodies_are_not(
    reader: InMemoryMetricReader,
) -> None:
    meter: metrics.Meter = HttpMeters().get_meter("http")
    for name in ("duration", "request.body.size", "response.body.size"):
        meter.create_histogram(f"http.server.{name}").record(1)
    assert read(reader) == {"http.server.duration": [1]}
