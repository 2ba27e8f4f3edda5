"""docs/TUTORIAL.md without running it: its parts exist, and its code fits the kit.

`e2e/test_tutorial.py` runs it.
"""

import ast
import re
import shutil
from pathlib import Path

import pytest

from kit.commands import ROOT
from kit.tests.copies import ACME, python
from kit.tests.e2e.tutorial import (
    PAGE,
    Code,
    Command,
    minutes_to_read,
    steps,
)
from kit.tests.team import in_the_kit
from local import suite

TEXT = PAGE.read_text()
STEPS = list(steps(TEXT))
COMMANDS = [step for step in STEPS if isinstance(step, Command)]

# What the generators do without an installation, a database or a network.
GENERATES = re.compile(r"make (rename|new-\w+) NAME=(\S+)")
TARGETS = set(re.findall(r"^([a-z0-9-]+):", (ROOT / "Makefile").read_text(), re.M))


def test_the_page_shows_as_many_checks_as_there_are() -> None:
    (shown,) = re.findall(r"^\$ make check\n\.\.\.\n(\d+) of (\d+) passed", TEXT, re.M)
    number = str(len(suite._checks()))
    assert shown == (number, number)


def test_the_page_has_all_steps() -> None:
    sections = dict.fromkeys(step.section for step in STEPS)
    assert [name[:2] for name in sections][:-1] == [f"{n}." for n in range(1, 8)]
    assert {step.language for step in STEPS if isinstance(step, Code)} == {
        *("python", "diff")
    }


def test_its_commands_exist() -> None:
    for command in COMMANDS:
        program, *words = command.line.split()
        assert program in ("cd", "curl", "git", "make"), command
        assert program != "make" or words[0] in TARGETS, command


def test_it_is_read_in_half_of_its_forty_minutes() -> None:
    """The other half is for the commands."""
    assert minutes_to_read(TEXT) < 20


@in_the_kit
def test_its_code_fits_what_the_generators_make(
    made_renamed: Path, tmp_path: Path
) -> None:
    """In a copy that has been renamed, as the page begins."""
    project = shutil.copytree(made_renamed, tmp_path / "project")
    for step in STEPS:
        if isinstance(step, Code):
            step.apply(project)
            file = project / step.path
            if file.suffix == ".py":
                ast.parse(file.read_text())
        elif found := GENERATES.match(step.line):
            if found.groups() != ("rename", ACME):
                python(project, "-m", "kit", *found.groups())


@pytest.mark.parametrize(
    ("shown", "output", "same"),
    [
        ("a", "a", True),
        ("a", "b", False),
        ("...\na ok ...\n...", "x\na ok 1 s\ny", True),
        ("...\na ok ...\n...", "x\na FAILED 1 s\ny", False),
        ("...\n  ━━··   1.0 ms  a: b\n...", "x\n  ·━━━   23.4 ms  a: b\ny", True),
        ("...\n  ━━··   1.0 ms  a: b\n...", "x\n  ·━━━   23.4 ms  a: c\ny", False),
        ('{"id":1,"total":90}', '{"id":2,"total":90}', True),
        ('{"id":1,"total":90}', '{"id":1,"total":91}', False),
    ],
)
def test_outputs_are_compared(shown: str, output: str, same: bool) -> None:
    assert Command("", "x", shown).matches(output) is same


def change(text: str) -> Code:
    return Code("", "Change `a/b.py`:", "a/b.py", "diff", text)


def test_places_of_a_file_are_changed_in_order(tmp_path: Path) -> None:
    file = tmp_path / "a" / "b.py"
    file.parent.mkdir()
    file.write_text("one\n\ntwo\ntwo\nthree\n")
    change(" one\n\n+new\n two\n@@\n-two\n+2\n").apply(tmp_path)
    assert file.read_text() == "one\n\nnew\ntwo\n2\nthree\n"
    with pytest.raises(AssertionError, match="has no"):
        change("-four\n+4\n").apply(tmp_path)
