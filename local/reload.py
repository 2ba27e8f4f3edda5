"""For `dev`: restarts our processes when their code is saved."""

import threading
from collections.abc import Iterable
from pathlib import Path

from watchfiles import PythonFilter, watch

from local.apps import ROOT, App
from local.supervisor import Supervisor

# Every process imports it too.
PACKAGES = ROOT / "packages"


def watch_code(
    apps: list[App], supervisor: Supervisor, stopped: threading.Event
) -> None:
    """Restart the processes that a change affects; returns when `stopped` is set."""
    folders = {PACKAGES, *(app.cwd for app in apps)}
    # Changes during a reload are kept for the next round.
    for changes in watch(
        *folders, watch_filter=PythonFilter(), debounce=400, stop_event=stopped
    ):
        if chosen := affected((Path(path) for _, path in changes), apps):
            supervisor.reload(chosen)


def affected(paths: Iterable[Path], apps: list[App]) -> list[App]:
    """The processes that a changed file belongs to; tests belong to none."""
    paths = [path for path in paths if "tests" not in path.parts]
    if any(path.is_relative_to(PACKAGES) for path in paths):
        return apps
    return [app for app in apps if any(path.is_relative_to(app.cwd) for path in paths)]
