"""An editor's debugger stops a request in each of our processes, and resumes it."""

import json
import re
import signal
import threading
import urllib.request
from typing import Any

import pytest

from local.apps import BACKEND, service_folders
from local.registry import registered
from local.tests.integration.conftest import NewLauncher
from local.tests.integration.debugger import Debugger

DATA = "/api/v1/data/process"


class Client(threading.Thread):
    """Sends a request, which a debugger may hold up."""

    def __init__(self, url: str, payload: Any = None) -> None:
        super().__init__(daemon=True)
        body = None if payload is None else json.dumps({"payload": payload}).encode()
        headers = {"Content-Type": "application/json"}
        self._request = urllib.request.Request(url, data=body, headers=headers)
        self.answer: Any = None
        self.start()

    def run(self) -> None:
        with urllib.request.urlopen(self._request, timeout=60) as answer:
            self.answer = json.load(answer)

    def finish(self) -> Any:
        """Wait for the answer and return it."""
        self.join(60)
        assert not self.is_alive()
        return self.answer


@pytest.mark.timeout(300)
def test_a_debugger_attaches_to_every_process(new_launcher: NewLauncher) -> None:
    launcher = new_launcher("debug", "debug")
    launcher.start()
    url = launcher.url()
    table = launcher.output.read_text()
    ports = dict(re.findall(r"^  (\w+) .*debugger: port (\d+)$", table, re.MULTILINE))
    assert {"api", "worker"} <= set(ports) and "beat" not in ports

    stop_in_api(int(ports["api"]), url)
    if "data" in registered():
        stop_in_service(int(ports["dataservice"]), url)
        stop_in_worker(int(ports["worker"]), url)
    assert launcher.end(signal.SIGINT) == 0


def stop_in_api(port: int, url: str) -> None:
    debugger = Debugger(port)
    debugger.break_at(BACKEND / "app/api/root.py", "shown = resources.settings")
    client = Client(url)
    function, thread = debugger.wait_stopped()
    assert function == "read_root" and client.is_alive()
    debugger.go_on(thread)
    assert client.finish()["health"] == "/health"


def stop_in_service(port: int, url: str) -> None:
    debugger = Debugger(port)
    folders = {folder.name: folder for folder in service_folders()}
    file = folders["dataservice"] / "app/data_service.py"
    debugger.break_at(file, "self._parse(data)")
    client = Client(url + DATA, "hello")
    function, thread = debugger.wait_stopped()
    assert function.endswith("call") and "hello" in debugger.evaluate("data")
    debugger.go_on(thread)
    assert client.finish()["task_status"] == "Success"


def stop_in_worker(port: int, url: str) -> None:
    debugger = Debugger(port)
    debugger.break_at(BACKEND / "app/tasks/data.py", "content = json.loads(request)")
    accepted = Client(f"{url}{DATA}-async", "later").finish()
    function, thread = debugger.wait_stopped()
    assert function == "process_accepted"
    assert accepted["task_id"] in debugger.evaluate("task_id")
    debugger.go_on(thread)
    status = Client(f"{url}{DATA}-async/{accepted['task_id']}?wait=30")
    assert status.finish()["task_status"] == "Success"
