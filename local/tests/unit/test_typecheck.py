"""Types of several components, with one cache."""

import os
from pathlib import Path

import pytest

from local import typecheck

# Faults in strict mode, and with our other settings, alone.
STRICT = """\
def echo(x):
    return x


def count(x: list) -> int:
    return 1
    print(x)
"""


def test_each_component_is_checked_though_all_share_a_cache(
    tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    """Even where names, sizes and times of their modules agree."""
    first, second = tmp_path / "first", tmp_path / "second"
    for folder, kind in ((first, "str"), (second, "int")):
        (folder / "app").mkdir(parents=True)
        (folder / "app/names.py").write_text(f"name: {kind}\n")
        (folder / "main.py").write_text("from app.names import name\n\nname.upper()\n")
        (folder / "rabbitmq_client.py").write_text(STRICT if kind == "int" else "")
        for file in folder.rglob("*.py"):
            os.utime(file, (0, 0))
    folders = [first, second, first]
    assert typecheck.check(folders, tmp_path) == 1
    lines = capfd.readouterr().out.splitlines()
    assert [line for line in lines if line.startswith("mypy")] == [
        *("mypy first", "mypy second", "mypy first")
    ]
    found = "".join(lines[2:-1])
    assert 'main.py:3: error: "int" has no attribute "upper"' in found
    for code in ("no-untyped-def", "type-arg", "unreachable"):
        assert f"[{code}]" in found
