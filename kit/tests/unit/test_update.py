"""A version of the kit is merged into a project that has another name."""

from pathlib import Path

import pytest

from kit import project, update
from kit.git import git

KIT = ["first", "of the kit", "last"]


def commit(root: Path, lines: list[str]) -> None:
    (root / "page").write_text("\n".join(lines) + "\n")
    git(root, "add", "--all")
    git(root, "commit", "--quiet", "--message", "x")


def begun(root: Path) -> Path:
    git(root.parent, "init", "--quiet", str(root))
    git(root, "config", "user.name", "x")
    git(root, "config", "user.email", "x@example.org")
    return root


def _rename(tree: Path) -> None:
    page = tree / "page"
    page.write_text(page.read_text().replace("of the kit", "of acme"))


def test_each_update_brings_what_is_new_under_the_own_name(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The project's history began without the kit's."""
    monkeypatch.setattr(project, "PROJECT", "acme")
    monkeypatch.setattr(project, "is_renamed", lambda: True)
    monkeypatch.setattr(update, "_rename", _rename)
    monkeypatch.setattr(update, "_keep_version", lambda *_: None)
    kit, own = begun(tmp_path / "kit"), begun(tmp_path / "own")
    for number in (1, 2, 3):
        commit(kit, [*KIT, *("more" for _ in range(1, number))])
        git(kit, "tag", f"v{number}.0.0")
    git(own, "remote", "add", update.REMOTE, str(kit))
    # Changed where the rename has changed it, too.
    mine = ["first", "of acme and mine", "last"]
    commit(own, mine)
    for start, to, new in (("v1.0.0", "v2.0.0", 1), ("v2.0.0", "v3.0.0", 2)):
        update.update(own, to, start)
        lines = (own / "page").read_text().splitlines()
        assert lines == [*mine, *["more"] * new]
        assert git(own, "status", "--porcelain") == ""
