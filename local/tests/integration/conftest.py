"""A separate `make run` for the test."""

import signal
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from local.state import end_leftovers
from local.tests.integration.launcher import Launcher

NewLauncher = Callable[..., Launcher]


@pytest.fixture
def new_launcher(tmp_path: Path) -> Iterator[NewLauncher]:
    """Creates launchers by the name of their folder, and ends what they leave
    running."""
    made: list[Launcher] = []

    def make(name: str, *options: str, **env: str) -> Launcher:
        made.append(Launcher(tmp_path / name, *options, **env))
        return made[-1]

    yield make
    for launcher in made:
        if launcher.process.poll() is None:
            launcher.end(signal.SIGKILL)
        end_leftovers(launcher.folder)


@pytest.fixture
def launcher(new_launcher: NewLauncher) -> Launcher:
    """A launcher without options."""
    return new_launcher("run")
