"""A separate `make run` for the test."""

import signal
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from local.state import end_leftovers
from local.tests.integration.launcher import Launcher

NewLauncher = Callable[..., Launcher]


@contextmanager
def launchers(folder: Path) -> Iterator[NewLauncher]:
    """Makes launchers by the name of their folder; what they leave is ended."""
    made: list[Launcher] = []

    def make(name: str, *options: str, **env: str) -> Launcher:
        made.append(Launcher(folder / name, *options, **env))
        return made[-1]

    yield make
    for launcher in made:
        if launcher.process.poll() is None:
            launcher.end(signal.SIGKILL)
        end_leftovers(launcher.folder)


@pytest.fixture
def launcher(tmp_path: Path) -> Iterator[Launcher]:
    """One without options."""
    with launchers(tmp_path) as make:
        yield make("run")
