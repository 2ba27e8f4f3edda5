"""A saved file reaches the processes that are made of it, and no others."""

import threading
from pathlib import Path
from typing import cast

import pytest

from local.apps import ROOT, App, service
from local.reload import affected, watch_code
from local.state import State
from local.supervisor import Supervisor


@pytest.fixture
def apps(tmp_path: Path) -> list[App]:
    state = State(tmp_path / "state")
    folders = [tmp_path / name for name in ("backend", "prices")]
    for folder in folders:
        folder.mkdir()
    return [service(folder.name, folder, state, {}) for folder in folders]


def test_a_process_reloads_only_for_its_own_folder(
    tmp_path: Path, apps: list[App]
) -> None:
    backend, prices = apps
    assert affected([tmp_path / "prices" / "app" / "x.py"], apps) == [prices]
    assert affected([tmp_path / "backend" / "tests" / "x.py"], apps) == []
    both = [tmp_path / "backend" / "x.py", tmp_path / "prices" / "x.py"]
    assert affected(both, apps) == [backend, prices]


def test_the_chassis_reloads_every_process(apps: list[App]) -> None:
    chassis = ROOT / "packages" / "chassis"
    assert affected([chassis / "src" / "chassis" / "logs.py"], apps) == apps
    assert affected([chassis / "tests" / "unit" / "test_logs.py"], apps) == []


def test_saving_a_file_reloads(tmp_path: Path, apps: list[App]) -> None:
    stopped, saved = threading.Event(), threading.Event()
    reloaded: list[App] = []

    class Recorder:
        def reload(self, chosen: list[App]) -> None:
            reloaded.extend(chosen)
            saved.set()

    recorder = cast(Supervisor, Recorder())
    watching = threading.Thread(target=watch_code, args=(apps, recorder, stopped))
    watching.start()
    number = 0
    while not saved.wait(0.2):  # the watcher may not look yet
        number += 1
        assert number < 100
        (tmp_path / "prices" / "notes.txt").write_text(str(number))
        (tmp_path / "prices" / "main.py").write_text(str(number))
    stopped.set()
    watching.join()
    assert set(reloaded) == {apps[1]}
