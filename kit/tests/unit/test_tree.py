"""All or nothing."""

import os
from pathlib import Path

import pytest

from kit.tests.copies import snapshot
from kit.tree import KitError, Tree


def test_nothing_is_written_before_all_checks_pass(tmp_path: Path) -> None:
    tree = Tree(tmp_path)
    tree.write("a/b.txt", "x")
    assert tree.exists("a/b.txt") and tree.read("a/b.txt") == "x"
    assert snapshot(tmp_path) == {}
    tree.apply()
    assert (tmp_path / "a/b.txt").read_text() == "x"


def test_a_failure_midway_restores_everything(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "script").write_text("old\r\n")
    (tmp_path / "script").chmod(0o755)
    (tmp_path / "gone").write_text("here")
    (tmp_path / "gone").chmod(0o755)
    before = snapshot(tmp_path)
    write = Path.write_bytes

    def full(path: Path, data: bytes) -> int:
        if path.name == "last":
            raise OSError(28, os.strerror(28))
        return write(path, data)

    monkeypatch.setattr(Path, "write_bytes", full)
    tree = Tree(tmp_path)
    tree.write("script", "new")
    tree.delete("gone")
    tree.write("deep/down/new", "new")
    tree.write("last", "new")
    with pytest.raises(KitError, match="Nothing was changed.*No space left"):
        tree.apply()
    assert snapshot(tmp_path) == before


def test_line_ends_stay_as_they_are(tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(b"a\r\nb\r\n")
    tree = Tree(tmp_path)
    tree.write("file", tree.read("file").replace("b", "c"))
    tree.apply()
    assert (tmp_path / "file").read_bytes() == b"a\r\nc\r\n"


def test_an_empty_folder_is_removed(tmp_path: Path) -> None:
    tree = Tree(tmp_path)
    tree.write("a/b/c", "x")
    tree.write("a/d", "x")
    tree.apply()
    for cache in ("__pycache__", ".mypy_cache/3.11"):
        (tmp_path / "a/b" / cache).mkdir(parents=True)
        (tmp_path / "a/b" / cache / "c").write_bytes(b"\xff")
    tree.delete("a/b/c")
    tree.apply()
    assert [path.name for path in (tmp_path / "a").iterdir()] == ["d"]


def test_what_tools_keep_is_no_part_of_the_project(tmp_path: Path) -> None:
    """A rename would change the history of Git, or the packages of others."""
    for place in ("docs", "app", "app/__pycache__", ".git/refs", ".venv/lib", ".local"):
        (tmp_path / place).mkdir(parents=True, exist_ok=True)
        (tmp_path / place / "file").write_text("x")
    assert [*Tree(tmp_path).files("")] == ["app/file", "docs/file"]
