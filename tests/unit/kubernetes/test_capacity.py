"""The capacity model: its figures are the benchmarks', its sums are right."""

import pytest

from deploy.capacity import (
    BENCHMARKS,
    Load,
    Shared,
    limits,
    main,
    measured,
    replicas,
)
from tests.unit.kubernetes.manifests import SERVICES, of_kind, one, workload

FIGURES = measured(BENCHMARKS.read_text())
SHARED = Shared(FIGURES.rows, FIGURES.service, FIGURES.api_accepted, 200)


def test_the_figures_are_read_from_the_page() -> None:
    page = """
32 connections:

| contender | req/s | p50 | p95 | p99 | CPU s per 1,000 | kit is |
| kit | 2,000 | 11 ms | 15 ms | 18 ms | 0.50 | - |
| kit through nginx | 1,500 | 12 ms | 16 ms | 19 ms | 0.60 | 1.1 x |

## Remote calls alone
| kit, quorum queue | 9,000 | 6.99 ms |

## Accepted work
| kit, prefork 2 | 4,000 | 6.9 x | 500 | 1.6 x | 2.50 | 99 + 95 + 95 MB |
"""
    found = measured(page)
    assert found.api_sync == 1500 and found.rows == 6000
    assert found.nginx == pytest.approx(10_000)
    assert found.service == 9000
    assert found.api_accepted == 4000 and found.worker == 500
    assert found.cpu_sync == pytest.approx(0.0006)
    assert found.cpu_task == pytest.approx(0.0025)
    with pytest.raises(ValueError, match="no row"):
        measured(page.replace("| kit through nginx |", "| other |"))
    with pytest.raises(ValueError, match="Remote calls"):
        measured(page.replace("Remote calls", "Calls"))


def test_replicas_carry_the_load_without_waste() -> None:
    load = Load(sync=20_000, accepted=3_000, services=("trial_price", "trial_list"))
    found = replicas(load, FIGURES)
    workers = found["fastapi-celery-worker"]
    assert workers * FIGURES.worker * load.use >= load.accepted
    assert (workers - 1) * FIGURES.worker * load.use < load.accepted
    services, others = (found[name] for name in load.workloads)
    assert others == services
    assert services * FIGURES.service * load.use >= 23_000 / 2
    assert (services - 1) * FIGURES.service * load.use < 23_000 / 2


def test_services_are_named_as_their_deployments() -> None:
    if SERVICES:
        assert set(Load(sync=1, accepted=0).workloads) == set(SERVICES)


def test_each_kind_of_request_counts_where_it_costs_something() -> None:
    """One answered at once writes its record and two log rows. One accepted also
    updates its record, and it is a task; both pass the gateway and a queue."""
    for load, rows, tasks in (
        (Load(sync=1000, accepted=0), 3000, 0),
        (Load(sync=0, accepted=1000), 4000, 1000),
    ):
        counts = replicas(load, FIGURES)
        needed = {each.part: each.needed for each in limits(load, counts, SHARED)}
        assert needed["PostgreSQL, rows written per second"] == rows
        assert needed["Redis, tasks per second"] == tasks
        (calls,) = (needed[part] for part in needed if part.startswith("RabbitMQ"))
        assert calls == 1000


def test_the_first_bottleneck_is_overloaded_first() -> None:
    load = Load(sync=FIGURES.api_sync / 2, accepted=0)
    shares = [each.share for each in limits(load, replicas(load, FIGURES), SHARED)]
    assert shares == sorted(shares, reverse=True) and shares[0] < 1
    strong = Shared(1e9, 1e9, 1e9, connections=50)
    load = Load(sync=100_000, accepted=0)
    first = limits(load, replicas(load, FIGURES), strong)[0]
    assert first.part == "PostgreSQL, connections"
    assert first.needed == replicas(load, FIGURES)["fastapi-api"] * 10 + 2 * 5 + 10


def test_the_report_names_it(capsys: pytest.CaptureFixture[str]) -> None:
    main(["--sync", "100000"])
    shown = capsys.readouterr().out
    assert "First bottleneck: PostgreSQL, rows written per second" in shown
    main(["--sync", str(FIGURES.rows / 10)])
    assert "No bottleneck" in capsys.readouterr().out


@pytest.mark.parametrize("wrong", [["--sync", "0"], ["--sync", "-1"], ["--use", "2"]])
def test_invalid_loads_are_refused(wrong: list[str]) -> None:
    with pytest.raises(SystemExit, match="2"):
        main(wrong)


def test_the_autoscalers_stay_below_the_connections() -> None:
    """What docs/DEPLOYMENT.md says of 350 connections, by the manifests."""
    env = workload("fastapi-api").environment()
    pool = int(env["DB_POOL_SIZE"]) + int(env["DB_MAX_OVERFLOW"])
    assert pool == SHARED.pool
    most = _largest("fastapi-api") * pool + _largest("fastapi-celery-worker") * 5
    assert most + 10 <= 350


def _largest(name: str) -> int:
    for each in of_kind("production", "HorizontalPodAutoscaler"):
        if each["metadata"]["name"] == name:
            return int(each["spec"]["maxReplicas"])
    found = one("production", "ScaledObject", name)
    return int(found["spec"]["maxReplicaCount"])


def test_a_worker_has_the_processes_that_were_measured() -> None:
    worker = workload("fastapi-celery-worker")
    assert worker.environment()["CELERY_WORKER_CONCURRENCY"] == "2"
