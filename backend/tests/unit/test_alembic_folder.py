"""Alembic works wherever the project is."""

import shutil
import subprocess
import sys
from importlib.util import module_from_spec, spec_from_file_location
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import sqlalchemy as sa
from alembic.operations import ops
from sqlalchemy.dialects import postgresql

BACKEND = Path(__file__).parents[2]


def test_alembic_reads_its_files_in_an_odd_path(tmp_path: Path) -> None:
    """Its configuration expands %, and with it the path of its own folder."""
    folder = tmp_path / "50% of $it" / "backend"
    shutil.copytree(BACKEND / "alembic", folder / "alembic")
    for name in ("alembic.ini", "pyproject.toml"):
        shutil.copy(BACKEND / name, folder)
    command = [sys.executable, "-m", "alembic", "heads"]
    done = subprocess.run(command, cwd=folder, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert "(head)" in done.stdout


def test_printed_sql_has_its_transactions() -> None:
    """Who runs it with psql gets each of them whole, or not at all. What runs outside
    of them may run again."""
    command = [sys.executable, "-m", "alembic", "upgrade", "head", "--sql"]
    done = subprocess.run(command, cwd=BACKEND, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    is_open, repeatable = False, ("CONCURRENTLY", "IF NOT EXISTS")
    for line in done.stdout.splitlines():
        if line in ("BEGIN;", "COMMIT;"):
            assert is_open is (line == "COMMIT;")
            is_open = not is_open
        elif line.startswith(("CREATE ", "ALTER ", "UPDATE ", "INSERT ")):
            assert is_open or any(word in line for word in repeatable), line
    assert "COMMIT;" in done.stdout and not is_open


def test_a_removed_column_comes_back_to_rows_without_a_value(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """As NOT NULL it could not: the values are gone."""
    spec = spec_from_file_location("own", BACKEND / "alembic" / "autogeneration.py")
    assert spec and spec.loader
    autogeneration = module_from_spec(spec)
    spec.loader.exec_module(autogeneration)
    stored: Any = SimpleNamespace(
        get_enums=lambda: [], get_sorted_table_and_fkc_names=lambda: []
    )
    monkeypatch.setattr(autogeneration, "inspect", lambda _: stored)
    new_dialect: Any = postgresql.dialect
    context: Any = SimpleNamespace(connection=object(), dialect=new_dialect())
    lost = sa.Column("lost", sa.Text, nullable=False)
    kept = sa.Column("kept", sa.Text, nullable=False, server_default="")
    up = ops.UpgradeOps([ops.DropColumnOp("notes", "lost")])
    down = ops.DowngradeOps([ops.AddColumnOp("notes", each) for each in (lost, kept)])
    autogeneration.complete(context, None, [ops.MigrationScript("1", up, down)])
    assert lost.nullable and not kept.nullable
