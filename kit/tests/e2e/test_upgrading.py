"""The commands of docs/UPGRADING.md, from the last version of the kit to this tree."""

import re
from pathlib import Path

import pytest

from kit import resource
from kit.commands import ROOT
from kit.project import PROJECT, is_renamed
from kit.tests.copies import RESOURCE, SERVICE, copy_project, python
from kit.tests.e2e.upgrades import (
    BACKOFF,
    BEGIN,
    LATER,
    MIGRATIONS,
    NAME,
    NEXT,
    SETTLE,
    SWEEP,
    TEMPLATES,
    UPDATE,
    append,
    begin,
    publish,
    release,
    run,
    sh,
)
from kit.tree import Tree

pytestmark = [
    pytest.mark.skipif(is_renamed(), reason="this is a project, not the kit"),
    pytest.mark.timeout(300),  # git, make and Alembic, again and again
]

MIGRATION = "backend/alembic/versions/20270101_of_the_update.py"


@pytest.fixture
def upstream(tmp_path: Path) -> Path:
    """The kit: its last version, and this tree as the next one."""
    folder = tmp_path / "upstream"
    folder.mkdir()
    tag = last_tag()
    if tag:
        sh(ROOT, f"git archive {tag} | tar --extract --directory {folder}")
    else:
        copy_project(folder)
    publish(folder)
    return folder


def last_tag() -> str:
    """The version in the files, if it is released."""
    known = run(ROOT, f"git rev-parse --verify --quiet refs/tags/v{BEGIN}")
    return f"v{BEGIN}" if known.returncode == 0 else ""


@pytest.fixture(params=["clone", "zip"])
def project(request: pytest.FixtureRequest, upstream: Path) -> Path:
    """A project with its own name, service and resource."""
    folder = begin(upstream, request.param)
    sh(folder, NAME)
    sh(folder, f"make new-service {SERVICE}; make new-resource {RESOURCE}")
    sh(folder, "git add -A; git commit -qm 'What is mine'")
    return folder


@pytest.mark.kit
@pytest.mark.timeout(900)
def test_a_renamed_project_takes_two_updates(upstream: Path, project: Path) -> None:
    append(project / "README.md", "Of mine.\n")
    append(project / "CHANGELOG.md", "* Of mine.\n")
    sh(project, "git commit -qam 'What I changed'")
    sh(project, "make release VERSION=3.2.1")
    release(upstream)
    sh(project, UPDATE)
    assert 'version = "3.2.1"' in (project / "pyproject.toml").read_text()
    assert f"\n## {NEXT} - " in (project / "CHANGELOG-KIT.md").read_text()
    assert NEXT not in (project / "CHANGELOG.md").read_text()
    assert sh(project, "git status --porcelain") == ""
    assert (project / "NEWS").read_text() == f"acme-orders {NEXT}\n"
    assert PROJECT not in sh(
        project, f"git grep -h {PROJECT} -- :!CHANGELOG-KIT.md || :"
    )
    assert "Of mine." in (project / "README.md").read_text()
    assert "# New in the kit." in (project / BACKOFF).read_text()
    assert "+New in the template." in sh(project, TEMPLATES)
    assert f"v{NEXT}" not in sh(project, "git tag --list")
    # Earlier generated files can be removed, although the template has changed since.
    sh(project, f"make remove-resource {RESOURCE} --force")
    kept = run(project, f"make remove-service {SERVICE}")
    assert "was changed since it was generated" in kept.stdout
    sh(project, f"make remove-service {SERVICE} --force")
    sh(project, "git checkout -q .; git clean -qfd")
    # The update also works after a squashed merge.
    sh(project, "git reset --soft HEAD^; git commit -qm squashed")
    release(upstream, LATER)
    sh(project, UPDATE.replace("v0.2.0", f"v{LATER}"))
    assert (project / "NEWS").read_text() == f"acme-orders {LATER}\n"
    again = run(project, UPDATE.replace("v0.2.0", f"v{LATER}"))
    assert again.returncode == 1 and f"already has v{LATER}" in again.stdout


@pytest.mark.parametrize("way", ["clone", pytest.param("zip", marks=pytest.mark.kit)])
def test_a_conflict_is_resolved_by_hand(upstream: Path, way: str) -> None:
    """The project keeps the kit's name."""
    project = begin(upstream, way)
    append(project / SWEEP, "# Of mine.\n")
    unclean = run(project, UPDATE)
    assert unclean.returncode == 1 and "commit or stash them first" in unclean.stdout
    sh(project, "git commit -qam 'What I changed'")
    missing = run(project, UPDATE)
    assert missing.returncode == 1 and f"no tag v{NEXT}" in missing.stdout
    release(upstream)
    stopped = run(project, UPDATE)
    assert stopped.returncode == 1
    assert f"Merge conflict in {SWEEP}" in stopped.stdout
    assert sh(project, "git diff --name-only --diff-filter=U") == f"{SWEEP}\n"
    sweep = (project / SWEEP).read_text()
    assert re.search(
        "^<{7} .*# Of mine.*^={7}$.*# Of the kit.*^>{7} ", sweep, re.M | re.S
    )
    marks = re.compile("^([<>]{7} .*|={7})\n", re.MULTILINE)
    (project / SWEEP).write_text(marks.sub("", sweep))
    sh(project, SETTLE)
    assert (project / "NEWS").read_text() == f"{PROJECT} {NEXT}\n"
    log = sh(project, "git log --format=%s")
    assert f"Kit v{NEXT} as {PROJECT}" in log and "What I changed" in log
    release(upstream, LATER)
    sh(project, UPDATE.replace("v0.2.0", f"v{LATER}"))
    assert "# Of mine." in (project / SWEEP).read_text()
    assert len(sh(project, "git worktree list").splitlines()) == 1


def test_migrations_of_both_sides_are_joined(upstream: Path) -> None:
    project = begin(upstream, "zip")
    sh(project, f"make new-resource {RESOURCE}; git add -A; git commit -qm mine")
    head = resource.head(Tree(upstream))
    text = f'"""Of the update."""\n\nrevision = "9999"\ndown_revision = "{head}"\n'
    text += "\n\ndef upgrade() -> None:\n    pass\n"
    (upstream / MIGRATION).write_text(text)
    sh(upstream, f"git add -A; git commit -qm next; git tag v{NEXT}")
    sh(project, UPDATE)
    backend = project / "backend"
    assert python(backend, "-m", "alembic", "heads").count("(head)") == 2
    # The make target's command, without its installation step.
    assert MIGRATIONS.startswith("make merge-revisions M=")
    python(backend, "-m", "alembic", "merge", "heads", "--message", "join")
    assert python(backend, "-m", "alembic", "heads").count("(head)") == 1
    sh(project, "make new-resource trial-customer")
