"""README.md's table of services matches the registry: `make docs` writes it."""

import os
from pathlib import Path

from kit import commands, documents
from kit.tests.copies import SERVICE
from kit.tree import Tree


def test_the_document_is_up_to_date() -> None:
    tree = Tree(commands.ROOT)
    documents.update(tree)
    if os.environ.get("UPDATE_DOCS"):
        tree.apply()
    assert not tree.changes, "write it with: make docs"


def test_each_service_has_a_row(project: Path) -> None:
    readme = project / "README.md"
    before = readme.read_text()
    commands.run("new-service", [SERVICE], project)
    row = readme.read_text().partition("| [Trial price service]")[2].partition("\n")[0]
    assert row.startswith("(services/trial_price/README.md) |")
    assert row.endswith("| `/api/v1/trial-price/process` |")
    commands.run("remove-service", [SERVICE], project)
    assert readme.read_text() == before


def test_your_own_readme_is_unchanged(project: Path) -> None:
    for text in ("# Ours\n", None):
        if text is None:
            (project / "README.md").unlink()
        else:
            (project / "README.md").write_text(text)
        assert commands.run("new-service", [SERVICE], project) == 0
        assert text is None or (project / "README.md").read_text() == text
        assert commands.run("remove-service", [SERVICE], project) == 0
