"""The commands of docs/UPGRADING.md, in a clone that goes its own way."""

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from kit import resource
from kit.commands import ROOT
from kit.tests.copies import PROJECT, RESOURCE, SERVICE, copy_project, python
from kit.tree import Tree

TEXT = (ROOT / "docs/UPGRADING.md").read_text()
ONCE, UPDATE, MIGRATIONS = re.findall(r"```bash\n(.*?)```", TEXT, re.DOTALL)
RENAME = "make rename NAME=acme-orders"
ONCE, UPDATE = (each.replace("acme-orders", PROJECT) for each in (ONCE, UPDATE))
BACKOFF = "packages/chassis/src/chassis/rpc/backoff.py"
SWEEP = "backend/app/tasks/maintenance.py"
MIGRATION = "backend/alembic/versions/20270101_of_the_update.py"

ME = {
    **{f"GIT_{who}_NAME": "somebody" for who in ("AUTHOR", "COMMITTER")},
    **{f"GIT_{who}_EMAIL": "somebody@example.org" for who in ("AUTHOR", "COMMITTER")},
    "GIT_CONFIG_GLOBAL": os.devnull,
}


def sh(folder: Path, script: str) -> str:
    """Run some lines of the page; without the installation that `make` would do."""
    kit = f"{sys.executable} -m kit"
    script = script.replace("make ", f"{kit} ").replace("NAME=", "")
    result = subprocess.run(
        ["bash", "-e", "-o", "pipefail", "-c", script],
        cwd=folder,
        env={**os.environ, **ME, "PYTHONPATH": ""},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )
    assert result.returncode == 0, result.stdout
    return result.stdout


@pytest.fixture
def upstream(tmp_path: Path) -> Path:
    """The kit, tagged."""
    folder = copy_project(tmp_path / "upstream")
    sh(folder, "git init -q -b main; git add -A; git commit -qm kit; git tag v0.1.0")
    return folder


@pytest.fixture
def clone(upstream: Path) -> Path:
    """A project that was cloned, renamed, and has a service and a resource."""
    folder = upstream.with_name("clone")
    sh(upstream, f"git clone -q {upstream} {folder}")
    assert TEXT.count(RENAME) == 2
    sh(folder, ONCE)
    sh(folder, f"make new-service {SERVICE}; make new-resource {RESOURCE}")
    sweep = folder / SWEEP
    sweep.write_text(sweep.read_text() + "# Of mine.\n")
    sh(folder, "git add -A; git commit -qm 'What is mine'")
    return folder


def release(upstream: Path) -> None:
    """Another version of the kit, with lines that bear its name."""
    backoff = upstream / BACKOFF
    backoff.write_text(backoff.read_text() + "\n# New in the kit.\n")
    script = upstream / "kubectl-setup.sh"
    text = script.read_text()
    assert "default fastapi-starter" in text
    script.write_text(text.replace("default fastapi-starter", "fastapi-starter"))
    sh(upstream, "git commit -qam next; git tag v0.2.0")


def test_an_update_of_a_renamed_project(upstream: Path, clone: Path) -> None:
    release(upstream)
    sh(clone, UPDATE)
    assert sh(clone, "git status --porcelain") == ""
    script = (clone / "kubectl-setup.sh").read_text()
    assert f"--namespace NAME          {PROJECT}" in script
    assert "fastapi-starter" not in sh(clone, "git grep -h starter || true")
    assert "# Of mine." in (clone / SWEEP).read_text()
    assert "# New in the kit." in (clone / BACKOFF).read_text()
    sh(clone, f"make remove-service {SERVICE}; make remove-resource {RESOURCE}")
    sh(clone, "git checkout -q .; git clean -qfd")
    # The next update begins where this one ended.
    (upstream / "NEWS").write_text("fastapi-starter\n")
    sh(upstream, "git add -A; git commit -qm more; git tag v0.3.0")
    sh(clone, UPDATE.replace("v0.2.0", "v0.3.0"))
    assert (clone / "NEWS").read_text() == f"{PROJECT}\n"


def test_migrations_of_both_sides_are_joined(upstream: Path, clone: Path) -> None:
    head = resource.head(Tree(upstream))
    text = f'"""Of the update."""\n\nrevision = "9999"\ndown_revision = "{head}"\n'
    text += "\n\ndef upgrade() -> None:\n    pass\n"
    (upstream / MIGRATION).write_text(text)
    sh(upstream, "git add -A; git commit -qm next; git tag v0.2.0")
    sh(clone, UPDATE)
    backend = clone / "backend"
    assert python(backend, "-m", "alembic", "heads").count("(head)") == 2
    join = re.fullmatch(r'make merge-revisions M="(.+)"\n', MIGRATIONS)
    assert join
    run = (
        "import sys; from local import commands as c; c.run(sys.argv[1], sys.argv[2:])"
    )
    python(clone, "-c", run, "merge-revisions", "-m", join[1])
    assert python(backend, "-m", "alembic", "heads").count("(head)") == 1
    sh(clone, "make new-resource trial-customer")
