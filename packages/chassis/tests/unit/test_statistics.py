"""Latency figures."""

import pytest

from chassis.rpc.statistics import WINDOW, RpcStatistics


def test_nothing_answered_yet() -> None:
    assert RpcStatistics().latency().p50 is None


def test_percentiles_by_nearest_rank() -> None:
    statistics = RpcStatistics()
    for hundredth in range(100, 0, -1):
        statistics.answer(hundredth / 100)
    latency = statistics.latency()
    assert (latency.count, latency.p50, latency.p95) == (100, 0.5, 0.95)
    assert latency.avg == pytest.approx(0.505)


def test_one_answer_is_every_percentile() -> None:
    statistics = RpcStatistics()
    statistics.answer(0.25)
    assert (statistics.latency().p50, statistics.latency().p95) == (0.25, 0.25)


def test_only_the_latest_count_for_latency() -> None:
    statistics = RpcStatistics()
    statistics.answer(100)
    for _ in range(WINDOW):
        statistics.answer(1)
    assert (statistics.latency().count, statistics.latency().avg) == (WINDOW + 1, 1)
