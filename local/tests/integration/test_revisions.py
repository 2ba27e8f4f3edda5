"""Migrations of `make revision`: they run, leave nothing, and pass `make check`."""

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from kit.tests.copies import copy_project
from local.servers.postgres import PostgreSQL
from local.tests.troubleshooting import explanation

MODELS = (Path(__file__).with_name("every_type.py.txt")).read_text()
RUN = (
    "import sys; from local import commands\n"
    "sys.exit(commands.run(sys.argv[1], sys.argv[2:]))"
)
# Several commands of Alembic in one process, because imports take most of each one's
# time.
ALEMBIC = (
    "import json, sys; from alembic import config\n"
    "for words in json.loads(sys.argv[1]): config.main(words)"
)
CHECKS = {
    "black": ["--check", "--quiet"],
    "isort": ["--check"],
    "flake8": [],
    "mypy": ["--config-file", "pyproject.toml"],
}

# They walk a long way, or run mypy over a copy, whose cache is empty.
LONG = pytest.mark.kit
pytestmark = pytest.mark.timeout(300)  # Alembic starts again and again


class Project:
    """A copy of the project with its own database."""

    def __init__(self, root: Path, url: str) -> None:
        self.root, self.url = root, url
        self.models = root / "backend/app/models/trial.py"
        self.versions = root / "backend/alembic/versions"
        self.kept = set(self.versions.glob("*.py"))

    def python(self, folder: Path, *words: str) -> subprocess.CompletedProcess[str]:
        env = {"DATABASE_URL": self.url, "PYTHONPATH": str(self.root)}
        return subprocess.run(
            [sys.executable, *words],
            cwd=folder,
            env={**os.environ, **env, "MYPYPATH": str(self.root / "backend")},
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )

    def refused(self, *words: str) -> str:
        """Alembic's message when it refuses a command."""
        result = self.python(self.root / "backend", "-m", "alembic", *words)
        assert result.returncode, result.stdout
        return result.stdout

    def alembic(self, *commands: str | list[str]) -> str:
        """Run commands, one after another; returns their output."""
        words = [each.split() if isinstance(each, str) else each for each in commands]
        backend = self.root / "backend"
        result = self.python(backend, "-c", ALEMBIC, json.dumps(words))
        assert result.returncode == 0, result.stdout
        return result.stdout

    def change(self, before: str, after: str) -> None:
        text = self.models.read_text()
        assert before in text
        self.models.write_text(text.replace(before, after))

    def revise(self, message: str, *first: str) -> str:
        """After `first`, write a migration, run it to and fro; its text."""
        before = set(self.versions.glob("*.py"))
        revision = ["revision", "--autogenerate", "-m", message]
        there = ["upgrade head", "check"]
        self.alembic(*first, revision, *there, "downgrade -1", *there)
        (written,) = set(self.versions.glob("*.py")) - before
        return written.read_text()

    @property
    def written(self) -> list[Path]:
        """The migrations that the test has written so far."""
        return sorted(set(self.versions.glob("*.py")) - self.kept)

    def check_style(self) -> None:
        """The checks of `make check` for these files."""
        names = [str(path.relative_to(self.root)) for path in self.written]
        for tool, options in CHECKS.items():
            result = self.python(self.root, "-m", tool, *options, *names)
            assert result.returncode == 0, result.stdout

    def rebuild(self) -> None:
        self.alembic("downgrade base", "upgrade head", "check")


@pytest.fixture(scope="module")
def copied(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return copy_project(tmp_path_factory.mktemp("revisions") / "project")


@pytest.fixture
def project(copied: Path, postgres: PostgreSQL) -> Iterator[Project]:
    """The copy, with migrated tables that have every column type."""
    project = Project(copied, postgres.create_database("revisions"))
    project.models.write_text(MODELS)
    yield project
    project.models.unlink()
    for path in project.written:
        path.unlink()
    postgres.drop_database("revisions")


def enums(postgres: PostgreSQL) -> None:
    """Fail with psycopg2's error if an enum type is left."""
    count = "(SELECT count(*) FROM pg_type WHERE typtype = 'e')"
    postgres.execute(f"SELECT 1 / (CASE {count} WHEN 0 THEN 1 ELSE 0 END)", "revisions")


def change_much(project: Project, postgres: PostgreSQL) -> None:
    """Unnamed constraints, a label of an enum, a default, a removed column."""
    project.change("    plain: str | None = None\n", "")
    project.change("    loose: str | None = None", "    loose: str | None = UNIQUE")
    project.change("    note: int | None = None", "    note: int | None = OF_NOTES")
    project.change("    amount: int | None = None", "    amount: int | None = SEVEN")
    project.change("    red =", '    blue = ":it\'s 100% blue"\n    red =')
    project.revise('Change "much" \\d ' + "and tell it at length " * 6)
    row = "INSERT INTO notes (title, colour) VALUES ('second', 'blue')"
    postgres.execute(row, "revisions")


def add_a_column_without_a_value(project: Project) -> None:
    project.change("    title: str\n", "    title: str\n    added: str\n")
    said = project.refused("revision", "--autogenerate", "-m", "No value")
    assert "notes.added is NOT NULL" in said and "server_default" in said


def change_types(project: Project) -> None:
    """The new default of one is no value of its old type."""
    project.change(
        "limited: str = Field(max_length=10", "limited: str = Field(max_length=20"
    )
    project.change("    amount: int | None = SEVEN", "    amount: int | None = HIGH")
    text = project.revise("Other types")
    assert "sqlmodel" not in text and "5000000000" in text


def local(project: Project, *words: str) -> str:
    """The output of a command that must pass."""
    result = project.python(project.root, "-c", RUN, *words)
    assert result.returncode == 0, result.stdout
    return result.stdout


def join_two_branches(project: Project) -> None:
    assert "nothing to merge" in local(project, "merge-revisions", "-m", "x")
    same = ["revision", "-m", "same words"]
    branch = [*same, "--head", "0003", "--splice"]
    assert project.alembic(same, branch, "heads").count("(head)") == 2
    local(project, "merge-revisions", "-m", "join the update")
    assert project.alembic("heads", "upgrade head").count("(head)") == 1
    assert len(project.written) == 3


def test_tables_of_every_type_are_made_and_changed(
    project: Project, postgres: PostgreSQL
) -> None:
    text = project.revise("Every type", "upgrade head")
    assert "sqlmodel" not in text and "app." not in text
    postgres.execute("INSERT INTO notes (title) VALUES ('first')", "revisions")
    change_much(project, postgres)
    change_types(project)
    add_a_column_without_a_value(project)
    project.alembic("downgrade base")
    enums(postgres)


@LONG
def test_tables_of_every_type_come_and_go(
    project: Project, postgres: PostgreSQL
) -> None:
    project.revise("Every type", "upgrade head")
    project.alembic("downgrade base")
    enums(postgres)
    project.models.write_text('"""Nothing."""\n')
    project.revise("Tables that are gone", "upgrade head")
    enums(postgres)
    project.rebuild()
    project.check_style()


@LONG
def test_changes_of_tables_that_have_rows(
    project: Project, postgres: PostgreSQL
) -> None:
    project.revise("Every type", "upgrade head")
    postgres.execute("INSERT INTO notes (title) VALUES ('first')", "revisions")
    change_much(project, postgres)
    add_a_column_without_a_value(project)
    project.change("    added: str\n", "    added: str = EMPTY\n")
    project.revise("With a value")

    project.change("amount: int | None", "amount: int")
    project.revise("No more NULL")
    project.change("note: int | None", "note: int")
    said = project.refused("revision", "--autogenerate", "-m", "May be NULL")
    assert "notes.note becomes NOT NULL" in said and "server default" in said
    project.change("note: int", "note: int | None")

    project.change("    added: str = EMPTY\n", "")
    project.revise("A column that has rows comes back")
    project.rebuild()
    project.check_style()


def test_revisions_of_two_branches_are_joined(project: Project) -> None:
    join_two_branches(project)


@LONG
def test_what_joins_two_branches_passes_the_checks(project: Project) -> None:
    join_two_branches(project)
    project.check_style()


# Takes 20 s: ten commands, most of which start a database and Alembic.
def test_the_whole_command(project: Project) -> None:
    """It starts its own database."""

    def run(*words: str) -> subprocess.CompletedProcess[str]:
        return project.python(project.root, "-c", RUN, *words)

    assert run("revision", "-m", "").returncode == 2
    unnamed = run("downgrade", "")
    assert unnamed.returncode == 2 and "0001 -> 0002" in unnamed.stdout
    local(project, "revision", "-m", "Every type")
    local(project, "migrate")
    unknown = run("downgrade", "9999")
    assert unknown.returncode == 1 and "0001 -> 0002" in unknown.stdout
    assert run("prune-events", "").returncode == 2
    assert run("prune-events", "-1").returncode == 1
    assert "Found 0 missing" in local(project, "rebuild-records")
    (written,) = project.written
    text = written.read_text()
    written.unlink()
    removed = run("migrate")
    assert removed.returncode == 1
    assert "make downgrade TO=" in explanation(removed.stdout)
    written.write_text(text)
    local(project, "downgrade", "base")
