"""The page of a complete benchmark."""

import re
from pathlib import Path
from unittest.mock import create_autospec

import pytest

from bench import report, rpc, tasks, tracing, whole_path
from bench.event_log import Pair
from bench.figures import Load, Sample
from bench.relay import Result as Relayed
from bench.results import Results
from local.apps import App

OURS, THEIRS = Sample(rate=600.0), Sample(rate=100.0)


def sample(label: str) -> Sample:
    return OURS if label.startswith("kit") else THEIRS


def accepted(label: str) -> tasks.Contender:
    app = create_autospec(App)
    rounds = [sample(label)]
    names = (label, "", app, app, 0, "", "", "")
    return tasks.Contender(*names, accepted=rounds, completed=rounds, memory=[50.0])


def requested(label: str) -> whole_path.Result:
    rounds = {connections: [sample(label)] for connections in whole_path.CONNECTIONS}
    return whole_path.Result(rounds, {"api": 100.0, "dataservice": 50.0})


@pytest.fixture
def results() -> Results:
    """Of every part."""
    contenders = (whole_path.KIT, whole_path.GATEWAY, whole_path.FASTSTREAM)
    workers = (tasks.PREFORK, tasks.THREADS, tasks.POOLED)
    return Results(
        {"Processor": "2 cores"},
        calls={
            label: {many: [sample(label)] for many in rpc.IN_FLIGHT}
            for label in (rpc.QUORUM, rpc.FASTSTREAM)
        },
        requests={label: requested(label) for label in contenders},
        work={label: accepted(label) for label in workers},
        traced={
            label: [tracing.Round(rate, 1.0)]
            for label, rate in ((tracing.OFF, 100.0), ("10%", 80.0), ("100%", 40.0))
        },
        logged=[Pair(without=100.0, logged=90.0)],
        relayed=Relayed([5000.0], Load(300, 6.0, 0, 1.0, 2.0, 3.0), 0.01, 0.005),
    )


def test_the_page_has_every_part(results: Results, tmp_path: Path) -> None:
    page = tmp_path / "PAGE.md"
    report.write(results, page, "make bench")
    text = page.read_text()
    assert "$" not in text
    assert all(table in text for table in report.figures(results).values())
    assert f"]({page.stem}.svg)" in text and page.with_suffix(".svg").exists()


def test_each_target_says_whether_it_holds(results: Results) -> None:
    table = report.figures(results)["targets"]
    held = dict(re.findall(r"^\| (.+?) \| .+ \| (yes|\*\*no\*\*) \|$", table, re.M))
    missed = {what for what, holds in held.items() if holds != "yes"}
    assert len(held) == 10
    assert missed == {"whole path, 100% of traces kept: % of tracing off"}
