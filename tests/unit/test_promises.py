"""Each promise that a test names stands in a document: `make docs` writes the table."""

import os
from pathlib import Path

from local.apps import ROOT
from local.promises import DOCUMENT, broken, page, promises

TEST = '''
@pytest.mark.promise("docs/TASKS.md", "No work is lost, "
    "{}.")
async def test_that_guards() -> None:
    """Several lines."""
'''


def project(folder: Path, word: str) -> Path:
    """A project of one promise."""
    (folder / "docs").mkdir()
    (folder / "docs/TASKS.md").write_text("# Tasks\n\nNo work is\nlost, ever. Or so.")
    (folder / "tests/unit").mkdir(parents=True)
    (folder / "tests/unit/test_one.py").write_text(TEST.format(word))
    return folder


def test_the_document_is_up_to_date() -> None:
    text = page(ROOT)
    if os.environ.get("UPDATE_DOCS"):
        (ROOT / DOCUMENT).write_text(text)
    assert (ROOT / DOCUMENT).read_text() == text, "write it with: make docs"


def test_each_promise_stands_in_its_document() -> None:
    assert promises(ROOT)
    assert broken(ROOT) == []


def test_a_marker_is_a_row(tmp_path: Path) -> None:
    root = project(tmp_path, "ever")
    row = "| No work is lost, ever. | [docs/TASKS.md](TASKS.md) "
    assert page(root).endswith(
        f"{row}| [test_that_guards](../tests/unit/test_one.py) |\n"
    )
    assert broken(root) == []


def test_a_sentence_that_changed_is_named(tmp_path: Path) -> None:
    (sentence,) = broken(project(tmp_path, "never"))
    assert sentence.startswith("tests/unit/test_one.py: test_that_guards names")
