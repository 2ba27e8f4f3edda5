"""One request leaves a line in the log of every process that it passes."""

import pytest

from local import logs_of
from local.apps import service_folders
from local.servers.nginx import ACCESS_LOG
from local.stack import Stack
from local.state import State
from tests.e2e.client import PROCESS_ASYNC, Api, wait_for


def test_one_request_through_all_logs(
    api: Api, stack: Stack, state: State, capsys: pytest.CaptureFixture[str]
) -> None:
    request_id = "through-all-logs"
    answer = api.send(
        PROCESS_ASYNC, b'{"payload": "hello"}', **{"X-Request-ID": request_id}
    )
    assert answer.status_code == 202
    api.wait_ended(answer.json()["task_id"])
    # A team's services may receive the event.
    others = {folder.name for folder in service_folders()} - {"dataservice"}
    expected = {"api", "worker", "dataservice", *([ACCESS_LOG] if stack.nginx else [])}

    def is_in_all() -> bool:
        assert logs_of.show([request_id], state.path) == 0
        lines = capsys.readouterr().out.splitlines()
        return {line.partition(":")[0] for line in lines} - others == expected

    # The worker's line is written after the end that the client sees.
    wait_for(is_in_all, "a line in every log")
