"""The judgement of `make ha` about each fault."""

import pytest

from tests.chaos.ledger import Attempt
from tests.e2e.client import PROCESS, PROCESS_ASYNC, RECORDS
from tests.ha.faults import SHORT, schedule
from tests.ha.record import Fault, recovery

SYNC, LATER, READ = f"POST {PROCESS}", f"POST {PROCESS_ASYNC}", f"GET {RECORDS}"


def good(began: float, what: str, seconds: float = 0.1) -> Attempt:
    return Attempt(began, seconds, what, 200, "")


def bad(began: float, what: str, seconds: float = 0.1) -> Attempt:
    return Attempt(began, seconds, what, 503, "database_unavailable")


def test_recovery_counts_until_both_kinds_of_writes_have_succeeded() -> None:
    attempts = [good(11, SYNC), good(12, LATER, seconds=3), good(13, SYNC)]
    assert recovery(attempts, 10, 60) == 5


def test_a_success_before_a_failure_is_no_recovery() -> None:
    attempts = [good(11, SYNC), good(11, LATER), bad(13, LATER)]
    assert recovery(attempts, 10, 60) is None
    attempts += [good(14, SYNC), good(15, LATER)]
    assert recovery(attempts, 10, 60) == pytest.approx(5.1)


def test_what_was_sent_before_the_fault_or_after_the_mending_does_not_count() -> None:
    attempts = [bad(9, SYNC, seconds=5), good(11, SYNC), good(61, LATER)]
    assert recovery(attempts, 10, 60) is None


def test_failed_reads_delay_nothing() -> None:
    attempts = [good(11, SYNC), good(11, LATER), bad(20, READ)]
    assert recovery(attempts, 10, 60) == pytest.approx(1.1)


@pytest.mark.parametrize("bound, found", [(5.0, 0), (1.0, 1)])
def test_late_writes_are_a_finding(bound: float, found: int) -> None:
    fault = Fault("x", bound, 10, mended=60, whole=61, ended=70)
    attempts = [good(11, SYNC), good(12, LATER)]
    assert len(fault.judge(attempts)) == found
    assert fault.judge([]) == ["x: no writes until it was mended"]


@pytest.mark.parametrize("failed, found", [(1, 0), (2, 1)])
def test_one_request_of_a_thousand_may_fail_in_a_rolling_restart(
    failed: int, found: int
) -> None:
    fault = Fault("x", None, 10, mended=60, whole=61, ended=70)
    attempts = [good(20, SYNC)] * (1000 - failed) + [bad(20, SYNC)] * failed
    assert len(fault.judge(attempts)) == found


def test_requests_of_other_faults_do_not_count() -> None:
    fault = Fault("x", None, 10, mended=60, whole=61, ended=70)
    attempts = [bad(9, SYNC), bad(80, SYNC), bad(20, SYNC), good(30, READ)]
    assert fault.row(attempts)[1:4] == ["2", "50.0%", "1 503 database_unavailable"]


def test_the_order_of_faults_follows_the_seed() -> None:
    names = [fault.name for fault in schedule(1, short=False, only="")]
    assert names == [fault.name for fault in schedule(1, short=False, only="")]
    assert names != [fault.name for fault in schedule(2, short=False, only="")]
    assert len(names) == len(set(names))


def test_a_short_run_loses_a_zone_and_the_primaries() -> None:
    names = {fault.name for fault in schedule(1, short=True, only="")}
    assert names == {"zone a lost", *(f"{part} lost" for part in SHORT)}
    assert [fault.name for fault in schedule(1, short=True, only="zone")] == [
        "zone a lost"
    ]
