"""The entries of docs/TROUBLESHOOTING.md, for the tests of all parts."""

import re
from collections.abc import Iterator

from local.apps import ROOT

PAGE = ROOT / "docs" / "TROUBLESHOOTING.md"


def rows() -> Iterator[tuple[str, str]]:
    """Each quoted message in the page's tables, and its explanation."""
    for line in PAGE.read_text().splitlines():
        cells = line.strip("| ").split(" | ")
        if line.startswith("|") and len(cells) > 1:
            for message in re.findall("`([^`]+)`", cells[0]):
                yield message, cells[-1]


def explanation(said: str) -> str:
    """The page's advice about a message; fails if the page does not quote its words."""
    words = " ".join(said.split())
    found = [
        do
        for message, do in rows()
        if " " in message
        and re.search(".*?".join(map(re.escape, message.split("..."))), words)
    ]
    assert found, f"docs/TROUBLESHOOTING.md has no row for: {said}"
    return "\n".join(found)
