"""The smoke test, while a service is stopped."""

import pytest

from local.stack import Stack
from tests.e2e.client import RECORDS, Api, wait_for
from tests.e2e.data.test_faults import healthy
from tests.e2e.test_smoke import lines_of, smoke

# It waits for deadlines: 28 s.
pytestmark = [pytest.mark.chaos, pytest.mark.timeout(240)]


def test_a_stopped_service_is_told_and_nothing_stays(
    api: Api, url: str, stack: Stack
) -> None:
    newest = api.newest(RECORDS)
    service = stack.service("dataservice")
    service.stop()
    try:
        wait_for(lambda: not healthy(api), "RabbitMQ's statistics")
        run = smoke(url, "--patience", "2")
    finally:
        service.start()
        wait_for(lambda: healthy(api), "the system to be healthy")
    assert run.returncode == 1
    lines = lines_of(run)
    for promise in ("data: answers at once", "data: does accepted work"):
        assert " FAILED " in lines[promise], run.stdout
    assert "data_queue" in lines["data: answers at once"]
    assert "after 2 s" in lines["data: does accepted work"]
    assert "did not end in 2 s" in lines["events are streamed"]
    assert "data-service is " in lines["every part is up"]
    assert " ok " in lines["these records can be deleted"]
    assert list(api.rows_since(newest, RECORDS)) == []
