"""A saved file restarts the processes that use it, and no others."""

import threading
from collections.abc import Iterator
from pathlib import Path
from typing import cast

import pytest

from local import bootstrap, settings
from local.apps import ROOT, App, service
from local.reload import affected, watch_code, watch_settings
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
    while not saved.wait(0.2):  # the watcher may not have started
        number += 1
        assert number < 100
        (tmp_path / "prices" / "notes.txt").write_text(str(number))
        (tmp_path / "prices" / "main.py").write_text(str(number))
    stopped.set()
    watching.join()
    assert set(reloaded) == {apps[1]}


class Watching:
    """Runs `watch_settings` with a changing `.env` and a changing requirement."""

    def __init__(self, folder: Path) -> None:
        self.env, self.requirement = folder / ".env", folder / "requirements.txt"
        self.installs = True
        self.said: list[str] = []
        self.did: list[str] = []
        self._happened = threading.Event()
        self._stopped = threading.Event()
        arguments = (self._reread, self.said.append, self._stopped)
        self._thread = threading.Thread(target=watch_settings, args=arguments)

    def ensure(self, development: bool) -> None:
        """Replaces the function that runs pip."""
        self.did.append("install")
        if not self.installs:
            self._happened.set()
            raise bootstrap.SetupError("no such package")

    def _reread(self) -> None:
        self.did.append("reread")
        self._happened.set()

    def start(self) -> None:
        self._thread.start()

    def save(self, file: Path) -> list[str]:
        """Save the file as editors do, until it is noticed. Returns what was done
        then."""
        self.did.clear()
        self._happened.clear()
        number = 0
        while not self._happened.wait(0.6):  # the watcher may not have started
            number += 1
            assert number < 50
            draft = file.with_suffix(".swp")
            draft.write_text(str(number))
            draft.replace(file)
        return self.did[:]

    def stop(self) -> None:
        self._stopped.set()
        self._thread.join()


@pytest.fixture
def watching(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Watching]:
    watching = Watching(tmp_path)
    files = [watching.requirement]
    monkeypatch.setattr(bootstrap, "requirement_files", lambda development: files)
    monkeypatch.setattr(bootstrap, "ensure", watching.ensure)
    monkeypatch.setattr(settings, "file", lambda: watching.env)
    watching.start()
    yield watching
    watching.stop()


def test_new_settings_are_read_and_new_requirements_installed(
    watching: Watching,
) -> None:
    assert watching.save(watching.env) == ["reread"]
    assert ".env changed" in watching.said[-1]
    assert watching.save(watching.requirement)[:2] == ["install", "reread"]


def test_what_cannot_be_installed_restarts_nothing(watching: Watching) -> None:
    watching.installs = False
    assert set(watching.save(watching.requirement)) == {"install"}
    watching.stop()
    assert "no such package" in watching.said[-1]
