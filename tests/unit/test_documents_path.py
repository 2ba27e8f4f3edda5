"""The path through the documents: each page can be reached and is listed."""

import re
from pathlib import Path

import pytest

from local.apps import ROOT
from tests.unit.documents import documents, pages_linked, prose

README = ROOT / "README.md"
LISTS = ROOT / "docs" / "README.md"

# A team may write a README of its own, which need not lead anywhere.
of_the_kit = pytest.mark.skipif(
    LISTS not in set(pages_linked(README)), reason="README.md is another one"
)


def reachable(page: Path) -> set[Path]:
    """What a reader finds from a page by following links."""
    found, ahead = {page}, [page]
    while ahead:
        new = set(pages_linked(ahead.pop())) - found
        found |= new
        ahead += [each for each in new if each.suffix == ".md" and each.exists()]
    return found


@of_the_kit
def test_every_page_is_found_from_the_first() -> None:
    assert set(documents()) <= reachable(README)


def test_the_list_of_documents_names_every_page_of_its_folder() -> None:
    listed = set(pages_linked(LISTS))
    pages = {page for page in LISTS.parent.glob("*.md") if page != LISTS}
    assert pages <= listed


@of_the_kit
def test_every_cell_of_the_comparison_has_its_source() -> None:
    section = prose(README).partition("## Beside other templates")[2]
    rows = re.findall(r"^\| (.+) \|$", section, re.MULTILINE)
    assert len(rows) > 2
    for row in rows[2:]:
        ours, *cells = row.split(" | ")
        assert ours == "this kit" or "](" in ours
        assert all("](" in cell for cell in cells), row
