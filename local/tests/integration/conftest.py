"""A `make run` of the test's own."""

import signal
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from local.state import end_leftovers
from local.tests.integration.launcher import Launcher

NewLauncher = Callable[..., Launcher]


@pytest.fixture
def new_launcher(tmp_path: Path) -> Iterator[NewLauncher]:
    """Makes launchers by the name of their folder; what they leave is ended."""
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
    """One without options."""
    return new_launcher("run")
