"""Runs mutmut over a component, whose unit tests must find what it breaks.

mutmut copies code into a folder `mutants`, puts every mutant of a function beside it,
and forks a process for each mutant: it runs the tests that call the function. Our
`mutants` is the component's folder in a copy of the project, so that all tests find
what they look for, in the usual place.
"""

import os
import re
import shutil
import signal
import subprocess
import time
from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path

from local.process import ProcessFailed
from tests.faults.changes import Functions
from tests.faults.copies import FOLDER, copy_project, python

# The console script contains the path of another `.venv`, if that was moved.
MUTMUT = ["-c", "from mutmut.__main__ import cli; cli()"]
SHOW = "import sys\nfrom mutmut.__main__ import cli\n"
SHOW += "for name in sys.argv[1:]: cli.main(['show', name], standalone_mode=False)"
POLL = 2.0  # seconds
SPEAK = 30.0  # seconds between lines about the progress
GRACE = 60.0  # seconds for mutmut to write down what it has, once it is told to stop

# What a mutant may come to; mutmut calls the others `not checked` or `no tests`.
FOUND = ("killed", "timeout", "segfault", "suspicious", "caught by type check")

# `time_limits` would end the process soon after its first run of pytest.
SETTINGS = """\
[mutmut]
source_paths={source}
only_mutate=
{files}
pytest_add_cli_args_test_selection=
    tests/unit
pytest_add_cli_args=
    -p
    no:cacheprovider
    -p
    tests.faults.plain_ids
    -p
    no:local.time_limits
{without}
timeout_constant=2.0
timeout_multiplier=5.0
use_git_change_detection=false
on_dependency_change=ignore
# Lines of the log, and lines of text alone, are for people: tests need not compare all
# of their words.
do_not_mutate_patterns=
    ^\\s*logger\\.\\w+\\(
    ^\\s*(raise \\w+\\()?f?"[^"]* [^"]* [^"]*"\\)?,?$
"""


@dataclass(frozen=True)
class Component:
    """Code with unit tests of its own."""

    name: str
    folder: str
    source: str  # its code, below `folder`
    places: tuple[str, ...]  # what `--all` breaks
    #: Tests of frames and sources, which look different in mutated code.
    without: tuple[str, ...] = ()


COMPONENTS = (
    Component(
        "chassis",
        "packages/chassis",
        "src",
        ("packages/chassis/src/chassis",),
        (
            "tests/unit/test_breakpoints.py"
            "::test_a_server_goes_on_and_says_where_it_was",
        ),
    ),
    Component(
        "backend",
        "backend",
        "app",
        tuple(
            f"backend/app/{room}"
            for room in ("core", "infrastructure", "services", "tasks")
        ),
    ),
)


@dataclass(frozen=True)
class Outcome:
    """What became of a component's mutants, and how the survivors differ."""

    component: str
    statuses: Mapping[str, str]  # by the mutant's name
    diffs: str

    @property
    def checked(self) -> int:
        """How many mutants there was time for."""
        return sum(status != "not checked" for status in self.statuses.values())

    @property
    def found(self) -> int:
        """How many of them a test noticed."""
        return sum(status in FOUND for status in self.statuses.values())

    @property
    def unreached(self) -> Counter[str]:
        """How many mutants no unit test runs, by function."""
        return Counter(
            function(name)
            for name, status in self.statuses.items()
            if status == "no tests"
        )

    def summary(self) -> str:
        """One line."""
        share = 100 * self.found / self.checked if self.checked else 100
        unreached = self.unreached.total()
        survived = self.checked - self.found - unreached
        left = len(self.statuses) - self.checked
        return (
            f"{self.component}: unit tests found {self.found} of {self.checked} mutants"
            f" ({share:.0f}%); {survived} survived, {unreached} are in functions that"
            f" no unit test calls, {left} had no time"
        )


def patterns(component: Component, functions: Functions) -> list[str]:
    """mutmut's names for all mutants of functions. It runs the tests of those with a
    number before it begins, and else all tests."""
    found = []
    for file, names in functions.items():
        relative = Path(file).relative_to(component.folder).with_suffix("")
        parts = [part for part in relative.parts if part not in ("src", "__init__")]
        for name in sorted(names):
            words = name.split(".")
            mangled = f"x_{name}" if len(words) == 1 else "ǁ".join(["x", *words])
            mutant = ".".join([*parts, f"{mangled}__mutmut_"])
            found += [f"{mutant}1", f"{mutant}*"]
    return found


def function(mutant: str) -> str:
    """The function's name as its authors wrote it."""
    module, _, mangled = mutant.partition("__mutmut_")[0].rpartition(".")
    name = mangled.removeprefix("x_").removeprefix("xǁ").replace("ǁ", ".")
    return f"{module}.{name}"


def run(
    component: Component, functions: Functions, seconds: float, processes: int
) -> Outcome:
    """Make and check the mutants of functions. Raises ProcessFailed if mutmut cannot
    run the tests."""
    folder = FOLDER / component.name
    shutil.rmtree(folder, ignore_errors=True)
    copy = copy_project(folder / "project")
    source = component.source
    shutil.copytree(copy / component.folder / source, folder / source)
    (folder / "mutants").symlink_to(Path("project") / component.folder)
    (folder / "setup.cfg").write_text(settings(component, functions))
    names = patterns(component, functions)
    command = ["run", "--max-children", str(processes), *names]
    _mutmut(folder, copy, component, command, seconds)
    listed = _ask(folder, copy, component, [*MUTMUT, "results", "--all", "true"])
    statuses = dict(re.findall(r"^ +(\S+): (.*)$", listed, re.MULTILINE))
    chosen = tuple(name.removesuffix("*") for name in names if name.endswith("*"))
    statuses = {n: s for n, s in statuses.items() if n.startswith(chosen)}
    survived = [name for name, status in statuses.items() if status == "survived"]
    diffs = _ask(folder, copy, component, ["-c", SHOW, *survived]) if survived else ""
    return Outcome(component.name, statuses, diffs)


def settings(component: Component, files: Iterable[str]) -> str:
    """mutmut's settings."""
    relative = [str(Path(file).relative_to(component.folder)) for file in files]
    without = [word for test in component.without for word in ("--deselect", test)]
    return SETTINGS.format(
        source=component.source,
        files="\n".join(f"    {file}" for file in relative),
        without="\n".join(f"    {word}" for word in without),
    )


def _environment(copy: Path, component: Component) -> dict[str, str]:
    paths = [str(copy), str(copy / component.folder)]
    return {**os.environ, "PYTHONPATH": os.pathsep.join(paths)}


def _mutmut(
    folder: Path, copy: Path, component: Component, words: list[str], seconds: float
) -> None:
    ends = time.monotonic() + seconds
    log = folder / "mutmut.log"
    with log.open("w") as output:
        process = subprocess.Popen(
            [python(copy), *MUTMUT, *words],
            cwd=folder,
            env=_environment(copy, component),
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )
    try:
        told = time.monotonic()
        while process.poll() is None and time.monotonic() < ends:
            time.sleep(POLL)
            if time.monotonic() > told + SPEAK:
                told = time.monotonic()
                print(f"{component.name}: {_last(log)}", flush=True)
        if process.poll() is None:
            print(f"{component.name}: the time is over", flush=True)
            process.send_signal(signal.SIGINT)
            _wait(process, GRACE)
        elif process.returncode:
            raise ProcessFailed(f"mutmut failed:\n{log.read_text()[-3000:]}")
    finally:
        _end(process)


def _last(log: Path) -> str:
    lines = re.split(r"[\r\n]+", log.read_text().strip())
    return lines[-1].lstrip("⠋⠙⠹⠸⠼⠴⠦⠧⠇⠏ ")


def _wait(process: subprocess.Popen[bytes], seconds: float) -> None:
    try:
        process.wait(seconds)
    except subprocess.TimeoutExpired:
        pass


def _end(process: subprocess.Popen[bytes]) -> None:
    """Kill it with the processes of its mutants."""
    try:
        os.killpg(process.pid, signal.SIGKILL)
    except ProcessLookupError:
        pass
    process.wait()


def _ask(folder: Path, copy: Path, component: Component, words: list[str]) -> str:
    result = subprocess.run(
        [python(copy), *words],
        cwd=folder,
        env=_environment(copy, component),
        capture_output=True,
        text=True,
    )
    if result.returncode:
        raise ProcessFailed(result.stderr[-3000:])
    return result.stdout
