"""What the prose linter finds, and what it ignores."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

from local import prose
from local.apps import ROOT

LONG = " ".join(["word"] * 41) + "."


def found(text: str) -> list[prose.Fault]:
    return list(prose.faults(text, most=40))


@pytest.mark.parametrize(
    ("text", "line", "message"),
    [
        (f"# A title\n\n{LONG}\n", 3, "41 words"),
        (f"* Short.\n* {LONG}\n", 2, "41 words"),
        (f"| a | b |\n| --- | --- |\n| {LONG} | c |\n", 3, "41 words"),
        ("```\nx\n```\n\nIs it\nhigh, add one.\n", 5, "`if`: Is it high, add one."),
        ("Wait; is the queue long, add one.\n", 1, "`if`: is the queue long"),
        ("Simply start it.\n", 1, "none: Simply"),
        ("It answers whoever asked.\n", 1, "none: whoever"),
    ],
)
def test_a_fault_is_found(text: str, line: int, message: str) -> None:
    (fault,) = found(text)
    assert message in fault.message and fault.line == line


@pytest.mark.parametrize(
    "text",
    [
        f"```text\n{LONG}\n```\n",
        f"<!-- {LONG} -->\n",
        f"Say `{LONG}` and [{LONG[:39]}](https://example.com).\n",
        f"{LONG[:120]}. {LONG[:120].title()}.\n",
        f"{LONG[:120]}\n\n{LONG[:120]}\n",
        f"* {LONG[:120]}\n* {LONG[:120]}\n",
        "Is it high, or low?\n",
        "If it is high, add one.\n",
        "Show it: `obviously`.\n",
    ],
)
def test_what_is_well_is_left_alone(text: str) -> None:
    assert found(text) == []


def test_the_first_pages_have_shorter_sentences() -> None:
    text = LONG.replace("word ", "", 10)
    assert not list(prose.faults(text, prose.MOST))
    assert list(prose.faults(text, prose.MOST_AT_FIRST))
    assert prose.most(ROOT / "README.md") == prose.MOST_AT_FIRST
    assert prose.most(ROOT / "docs/RPC.md") == prose.MOST


def test_grammar(tmp_path: Path) -> None:
    """The two files have the same name, as all README.md files do."""
    good, bad = tmp_path / "a" / "README.md", tmp_path / "b" / "README.md"
    for document, text in (
        (good, "It works.\n"),
        (bad, "It works.\n\nIt is an mule.\n"),
    ):
        document.parent.mkdir()
        document.write_text(text)
    ((document, fault),) = prose.grammar([good, bad])
    assert (document, fault.line) == (bad, 3)
    assert fault.message.startswith("AnA: an")


def test_harper_has_every_rule() -> None:
    command = [sys.executable, "-m", "harper", "config"]
    known = json.loads(subprocess.check_output(command))
    assert set(prose.HARPER) <= set(known)
