"""For `dev`: our processes start again when their code, `.env` or a requirement is
saved."""

import os
import threading
from collections.abc import Callable, Iterable
from pathlib import Path

from watchfiles import Change, PythonFilter, watch

from local import bootstrap, settings
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


def watch_settings(
    reread: Callable[[], None], say: Callable[[str], None], stopped: threading.Event
) -> None:
    """Install requirements that have changed, and read `.env` again; returns when
    `stopped` is set."""
    own = settings.file().resolve()
    requirements = {file.resolve() for file in bootstrap.requirement_files(False)}
    wanted = {own, *requirements}

    def is_wanted(_: Change, path: str) -> bool:
        return Path(path) in wanted

    # The folders, not the files: editors put another file in the place of the old one.
    folders = {file.parent for file in wanted if file.parent.is_dir()}
    for changes in watch(
        *folders,
        watch_filter=is_wanted,
        debounce=400,
        stop_event=stopped,
        recursive=False,
    ):
        changed = {Path(path) for _, path in changes}
        names = ", ".join(sorted(os.path.relpath(path, ROOT) for path in changed))
        say(f"{names} changed: restarting our processes")
        try:
            if changed & requirements:
                bootstrap.ensure(development=False)
        except bootstrap.SetupError as error:
            say(f"{error}\nwaiting for the next change")
            continue
        reread()


def affected(paths: Iterable[Path], apps: list[App]) -> list[App]:
    """The processes that a changed file belongs to; tests belong to none."""
    paths = [path for path in paths if "tests" not in path.parts]
    if any(path.is_relative_to(PACKAGES) for path in paths):
        return apps
    return [app for app in apps if any(path.is_relative_to(app.cwd) for path in paths)]
