"""The commands of docs/UPGRADING.md, from the last version of the kit to this tree."""

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from kit import __version__, resource
from kit.commands import ROOT
from kit.project import PROJECT, is_renamed
from kit.tests.copies import IDENTITY, RESOURCE, SERVICE, copy_project, python
from kit.tree import SKIPPED, Tree

pytestmark = pytest.mark.skipif(is_renamed(), reason="this is a project, not the kit")

TEXT = (ROOT / "docs/UPGRADING.md").read_text()
CLONE, ZIP, NAME, UPDATE, SETTLE, TEMPLATES, MIGRATIONS, RELEASE = re.findall(
    r"```bash\n(.*?)```", TEXT, re.DOTALL
)
BEGIN, NEXT, LATER = __version__, "7.8.9", "7.9.0"
BACKOFF = "packages/chassis/src/chassis/rpc/backoff.py"
SWEEP = "backend/app/tasks/maintenance.py"
SERVICE_TEMPLATE = "kit/templates/service/services/specimen/README.md"
MIGRATION = "backend/alembic/versions/20270101_of_the_update.py"

# `make` without its installation step.
MAKE = f'make() {{ {sys.executable} -m kit "$1" "${{2#*=}}" "${{@:3}}"; }}'


def run(folder: Path, script: str) -> subprocess.CompletedProcess[str]:
    """Run some lines of the page with this test's versions."""
    script = script.replace("ADDRESS", str(folder.with_name("upstream")))
    script = script.replace("v0.1.0", f"v{BEGIN}").replace("v0.2.0", f"v{NEXT}")
    return subprocess.run(
        ["bash", "-e", "-o", "pipefail", "-c", f"{MAKE}\n{script}"],
        cwd=folder,
        env={**os.environ, **IDENTITY, "PYTHONPATH": ""},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )


def sh(folder: Path, script: str) -> str:
    result = run(folder, script)
    assert result.returncode == 0, result.stdout
    return result.stdout


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
    sh(folder, "git init -q -b main; git add -A; git commit -qm kit")
    sh(folder, f"git tag -a -m old v{BEGIN}")
    return folder


def last_tag() -> str:
    """The version in the files, if it was released."""
    known = run(ROOT, f"git rev-parse --verify --quiet refs/tags/v{BEGIN}")
    return f"v{BEGIN}" if known.returncode == 0 else ""


def release(upstream: Path, version: str = NEXT) -> None:
    """Release this tree with a few more changes, in lines that contain the kit's
    name."""
    for path in upstream.iterdir():
        if path.name not in SKIPPED:
            shutil.rmtree(path) if path.is_dir() else path.unlink()
    copy_project(upstream)
    append(upstream / BACKOFF, "# New in the kit.\n")
    append(upstream / SWEEP, "# Of the kit.\n")
    append(upstream / SERVICE_TEMPLATE, "New in the template.\n")
    (upstream / "NEWS").write_text(f"{PROJECT} {version}\n")
    changelog = upstream / "CHANGELOG.md"
    entry = f"## Unreleased\n\n* In {version}.\n"
    changelog.write_text(changelog.read_text().replace("## Unreleased\n", entry))
    sh(upstream, "git add -A; git commit -qm next")
    sh(upstream, RELEASE.splitlines()[0].replace("X.Y.Z", version))


def append(file: Path, line: str) -> None:
    file.write_text(f"{file.read_text()}\n{line}")


@pytest.fixture(params=["clone", "zip"])
def project(request: pytest.FixtureRequest, upstream: Path) -> Path:
    """A project with its own name, service and resource."""
    folder = begin(upstream, request.param)
    sh(folder, NAME)
    sh(folder, f"make new-service {SERVICE}; make new-resource {RESOURCE}")
    sh(folder, "git add -A; git commit -qm 'What is mine'")
    return folder


def begin(upstream: Path, way: str) -> Path:
    folder = upstream.with_name("acme-orders")
    if way == "zip":
        folder.mkdir()
        sh(upstream, f"git archive v{BEGIN} | tar --extract --directory {folder}")
    # The page begins outside the folder.
    sh(upstream, f"cd ..\n{CLONE if way == 'clone' else ZIP}")
    return folder


@pytest.mark.kit
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
    sh(project, f"make remove-resource {RESOURCE}")
    kept = run(project, f"make remove-service {SERVICE}")
    assert f"{SERVICE.replace('-', '_')}/README.md was changed" in kept.stdout
    sh(project, f"make remove-service {SERVICE} --force")
    sh(project, "git checkout -q .; git clean -qfd")
    # A squashed merge is no obstacle.
    sh(project, "git reset --soft HEAD^; git commit -qm squashed")
    release(upstream, LATER)
    sh(project, UPDATE.replace("v0.2.0", f"v{LATER}"))
    assert (project / "NEWS").read_text() == f"acme-orders {LATER}\n"
    again = run(project, UPDATE.replace("v0.2.0", f"v{LATER}"))
    assert again.returncode == 1 and f"already has v{LATER}" in again.stdout


@pytest.mark.parametrize("way", ["clone", "zip"])
def test_a_conflict_is_resolved_by_hand(upstream: Path, way: str) -> None:
    """In a project that keeps the kit's name."""
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
    # The target's command, without its installation step.
    assert MIGRATIONS.startswith("make merge-revisions M=")
    python(backend, "-m", "alembic", "merge", "heads", "--message", "join")
    assert python(backend, "-m", "alembic", "heads").count("(head)") == 1
    sh(project, "make new-resource trial-customer")
