from typing import Any

import pytest
from opentelemetry.sdk.metrics import Histogram as OfTheSdk
from opentelemetry.sdk.metrics import MeterProvider
from opentelemetry.sdk.metrics.export import (
    AggregationTemporality,
    InMemoryMetricReader,
    MetricsData,
)

from app.core import histograms
from app.core.histograms import Histogram, exporting

OK: dict[str, Any] = {"route": "/", "status": 200}
BAD: dict[str, Any] = {"route": "/", "status": 422}


@pytest.fixture
def histogram(monkeypatch: pytest.MonkeyPatch) -> Histogram:
    """The only one of the process."""
    monkeypatch.setattr(histograms, "_all", [])
    return Histogram("took", unit="s", description="Time.", bounds=(0.1, 1.0))


def points(histogram: Histogram, *, delta: bool = False) -> list[Any]:
    metric = histogram.collect(delta=delta)
    assert metric is not None
    return list(metric.data.data_points)


def test_values_are_counted_as_the_sdk_counts_them(histogram: Histogram) -> None:
    reader = InMemoryMetricReader()
    meter = MeterProvider([reader]).get_meter("test")
    theirs = meter.create_histogram(
        "took", unit="s", explicit_bucket_boundaries_advisory=[0.1, 1.0]
    )
    for value, told in ((0.1, OK), (0.05, OK), (1.0, OK), (7.0, OK), (0.5, BAD)):
        histogram.record(value, told)
        theirs.record(value, told)
    data: Any = reader.get_metrics_data()
    expected = data.resource_metrics[0].scope_metrics[0].metrics[0].data.data_points

    def facts(point: Any) -> tuple[Any, ...]:
        return (
            dict(point.attributes),
            point.count,
            point.sum,
            point.min,
            point.max,
            list(point.bucket_counts),
            list(point.explicit_bounds),
        )

    assert [*map(facts, points(histogram))] == [*map(facts, expected)]


def test_nothing_recorded_is_nothing_sent(histogram: Histogram) -> None:
    assert histogram.collect(delta=False) is None


def test_cumulative_goes_on_and_delta_begins_anew(histogram: Histogram) -> None:
    histogram.record(0.5)
    assert [point.count for point in points(histogram)] == [1]
    histogram.record(0.5)
    [both] = points(histogram, delta=True)
    assert both.count == 2
    histogram.record(0.5)
    [last] = points(histogram, delta=True)
    assert last.count == 1
    assert last.start_time_unix_nano == both.time_unix_nano
    assert histogram.collect(delta=True) is None


@pytest.mark.parametrize(
    "temporality", [AggregationTemporality.CUMULATIVE, AggregationTemporality.DELTA]
)
def test_an_exporter_sends_them_with_the_sdks_own(
    histogram: Histogram, temporality: AggregationTemporality
) -> None:
    sent: list[MetricsData] = []

    class Exporter:
        _preferred_temporality = {OfTheSdk: temporality}

        def export(self, data: MetricsData) -> None:
            sent.append(data)

    reader = InMemoryMetricReader()
    MeterProvider([reader]).get_meter("test").create_counter("done").add(1)
    histogram.record(0.5, OK)
    exporting(Exporter)().export(reader.get_metrics_data())
    [resource] = sent[0].resource_metrics
    metrics: dict[str, Any] = {
        metric.name: metric.data
        for scope in resource.scope_metrics
        for metric in scope.metrics
    }
    assert [*metrics] == ["done", "took"]
    assert metrics["took"].aggregation_temporality is temporality
