"""Faults of our own: each is applied in a copy, and its tests must turn red."""

import os
import subprocess
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

from tests.faults.copies import python

LONGEST = 600.0  # seconds for the tests of one fault
FAILED = (1, 2)  # pytest's exit codes: tests failed, or could not be imported


@dataclass(frozen=True)
class Fault:
    """One replacement of text, and the tests that must see it. Paths start at the
    project's root."""

    name: str
    file: str
    old: str  # the first in the file is meant: generators add services
    new: str
    tests: tuple[str, ...]
    of_demo: bool = False  # whether it goes with the data service

    def applied(self, text: str) -> str:
        """The file with the fault. Raises ValueError."""
        if self.old not in text:
            raise ValueError(f"{self.name}: {self.file} no longer contains the text")
        return text.replace(self.old, self.new, 1)

    def components(self) -> Iterator[tuple[str, list[str]]]:
        """The tests by the folder in which pytest has to run."""
        found: dict[str, list[str]] = {}
        for test in self.tests:
            folder, relative = split(test)
            found.setdefault(folder, []).append(relative)
        yield from found.items()


def split(test: str) -> tuple[str, str]:
    """The component of a test, and the test's path in it."""
    words = test.split("/")
    depth = {"backend": 1, "packages": 2, "services": 2}.get(words[0], 0)
    return "/".join(words[:depth]) or ".", "/".join(words[depth:])


def see(copy: Path, fault: Fault) -> str:
    """`found`, `unseen`, or what else happened."""
    file = copy / fault.file
    before = file.read_text()
    try:
        file.write_text(fault.applied(before))
        verdicts = [_verdict(copy, *each) for each in fault.components()]
    finally:
        file.write_text(before)
    return "found" if "found" in verdicts else verdicts[0]


def without_fault(copy: Path, faults: Iterable[Fault]) -> list[str]:
    """The tests that are red already: they would see anything."""
    tests: dict[str, list[str]] = {}
    for fault in faults:
        for folder, names in fault.components():
            tests.setdefault(folder, []).extend(names)
    return [
        f"{folder}: {verdict}"
        for folder, names in tests.items()
        if (verdict := _verdict(copy, folder, list(dict.fromkeys(names)))) != "unseen"
    ]


def _verdict(copy: Path, folder: str, tests: list[str]) -> str:
    paths = [str(copy), str(copy / folder)]
    env = {**os.environ, "PYTHONPATH": os.pathsep.join(paths)}
    # Python takes bytecode for that of a file of the same second and size.
    env["PYTHONDONTWRITEBYTECODE"] = "1"
    try:
        result = subprocess.run(
            [python(copy), "-m", "pytest", "-x", "-q", "--no-header", *tests],
            cwd=copy / folder,
            env=env,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            timeout=LONGEST,
        )
    except subprocess.TimeoutExpired:
        return "hung"
    if result.returncode in FAILED:
        return "found"
    if result.returncode == 0 and " skipped" not in result.stdout.splitlines()[-1]:
        return "unseen"
    return f"not tested:\n{result.stdout[-2000:]}"
