from typing import Any

from app.histograms import Histogram


def points(histogram: Histogram) -> list[Any]:
    metric = histogram.collect(delta=True)
    assert metric is not None
    return list(metric.data.data_points)


def test_values_fall_into_buckets_by_their_attributes() -> None:
    histogram = Histogram("took", unit="s", description="Time.", bounds=(0.1, 1.0))
    for value in (0.1, 0.5, 7.0):
        histogram.record(value, {"queue": "a"})
    histogram.record(0.5, {"queue": "b"})
    first, second = points(histogram)
    assert (first.attributes, second.attributes) == ({"queue": "a"}, {"queue": "b"})
    assert (first.bucket_counts, second.bucket_counts) == ((1, 1, 1), (0, 1, 0))
    assert (first.count, first.sum, first.min, first.max) == (3, 7.6, 0.1, 7.0)
    assert histogram.collect(delta=True) is None
