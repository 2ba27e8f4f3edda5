"""Types of several components, with one cache."""

import os
from pathlib import Path

import pytest

from local import typecheck


def test_each_component_is_checked_though_all_share_a_cache(
    tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    """Even where names, sizes and times of their modules agree."""
    first, second = tmp_path / "first", tmp_path / "second"
    for folder, kind in ((first, "str"), (second, "int")):
        (folder / "app").mkdir(parents=True)
        (folder / "app/names.py").write_text(f"name: {kind}\n")
        (folder / "main.py").write_text("from app.names import name\n\nname.upper()\n")
        for file in folder.rglob("*.py"):
            os.utime(file, (0, 0))
    folders = [first, second, first]
    assert typecheck.check(folders, tmp_path) == 1
    lines = capfd.readouterr().out.splitlines()
    assert len(lines) == 4 and lines[1] == "mypy second"
    assert 'main.py:3: error: "int" has no attribute "upper"' in lines[2]
