"""A release in a copy: one commit and one tag, or nothing."""

import os
import re
import shutil
import subprocess
import sys
from datetime import date
from pathlib import Path

import pytest

from kit import __version__
from kit.commands import ROOT
from kit.project import is_renamed
from kit.tests.copies import IDENTITY, PROJECT, copy_project, snapshot

OLD = re.findall(r'^version = "(.+)"', (ROOT / "pyproject.toml").read_text(), re.M)[0]
NEW = "7.8.9"
ENTRY = "### Added\n\n* Something `useful`."

# Versions of packages and earlier releases.
OTHERS = re.compile(r"requirements.*\.txt$|CHANGELOG.md$|pyproject.toml$|^docs/BENCH")


ENV = {**os.environ, **IDENTITY}


@pytest.fixture(scope="module")
def clean(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A copy under git, on main, with one unreleased line; nothing may change it."""
    project = copy_project(tmp_path_factory.mktemp("clean") / "project")
    unreleased(project)
    return project


@pytest.fixture
def kit(clean: Path, tmp_path: Path) -> Path:
    """The same, to be released."""
    return shutil.copytree(clean, tmp_path / "project")


def unreleased(project: Path) -> None:
    """Put one unreleased line into the changelog, and all into git."""
    changelog = project / "CHANGELOG.md"
    before, after = changelog.read_text().split("## Unreleased\n")
    after = after.partition("\n## ")[2]
    after = after and f"\n## {after}"
    changelog.write_text(f"{before}## Unreleased\n\n{ENTRY}\n{after}")
    git(project, "init", "-q", "-b", "main")
    git(project, "add", "-A")
    git(project, "commit", "-qm", "all")


def git(folder: Path, *words: str) -> str:
    return subprocess.run(
        ["git", *words], cwd=folder, env=ENV, check=True, capture_output=True, text=True
    ).stdout


def release(project: Path, version: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "kit", "release", version]
    return subprocess.run(command, cwd=project, env=ENV, capture_output=True, text=True)


def test_a_release_updates_every_file(kit: Path) -> None:
    done = release(kit, NEW)
    assert done.returncode == 0, done.stderr
    assert git(kit, "status", "--porcelain") == ""
    assert git(kit, "log", "-1", "--format=%s") == f"Release {NEW}\n"
    assert git(kit, "cat-file", "-t", f"v{NEW}") == "tag\n"
    message = git(kit, "tag", "--list", "--format=%(contents)", f"v{NEW}")
    assert message.strip() == f"v{NEW}\n\n{ENTRY}"
    changelog = (kit / "CHANGELOG.md").read_text()
    today = date.today().isoformat()
    assert f"## Unreleased\n\n## {NEW} - {today}\n\n{ENTRY}\n" in changelog
    kept = {"kit/__init__.py", "CHANGELOG-KIT.md"} if is_renamed() else set()
    for path, (_, content) in snapshot(kit).items():
        if path in kept or path.endswith((".png", ".svg", "/")):  # pictures
            continue
        if not OTHERS.search(path):
            left = re.search(rf"(?<![\w.]){re.escape(OLD)}(?![\w.])", content.decode())
            assert not left, path
    for file in kit.rglob("pyproject.toml"):
        assert f'"{NEW}"' in file.read_text() or 'dynamic = ["version"]' in (
            file.read_text()
        ), file


@pytest.mark.parametrize(
    "version", ["", "1", "1.2", "v9.0.0", "9.0.0rc1", "09.0.0", "0.0.0", "9.0.0\n"]
)
def test_bad_versions_are_refused(clean: Path, version: str) -> None:
    assert_refused(clean, version, "is not a version|is older")


def test_a_version_is_released_once(kit: Path) -> None:
    assert release(kit, NEW).returncode == 0
    assert_refused(kit, NEW, "The tag v")
    git(kit, "tag", "--delete", f"v{NEW}")
    assert_refused(kit, NEW, "CHANGELOG.md already has 7.8.9")
    assert_refused(kit, "8.0.0", "nothing below '## Unreleased'")


def test_only_a_clean_main_is_released(kit: Path) -> None:
    (kit / "new").write_text("x")
    assert_refused(kit, NEW, "There are uncommitted changes")
    (kit / "new").unlink()
    git(kit, "switch", "-qc", "topic")
    assert_refused(kit, NEW, "Release from the branch main; this is topic")


def test_a_commit_that_fails_leaves_nothing(kit: Path) -> None:
    hook = kit / ".git/hooks/pre-commit"
    hook.parent.mkdir(exist_ok=True)
    hook.write_text("#!/bin/sh\necho not today\nexit 1\n")
    hook.chmod(0o755)
    assert_refused(kit, NEW, "not today")


@pytest.mark.skipif(is_renamed(), reason="this is a project, not the kit")
def test_a_project_keeps_the_version_of_its_kit(
    made_renamed: Path, tmp_path: Path
) -> None:
    kit = shutil.copytree(made_renamed, tmp_path / "project")
    shutil.rmtree(kit / ".git")
    unreleased(kit)
    assert release(kit, NEW).returncode == 0
    assert f'"{__version__}"' in (kit / "kit/__init__.py").read_text()
    assert f"{PROJECT}-api:{NEW}" in (kit / "backend/backend-pod.yaml").read_text()


@pytest.mark.skipif(is_renamed(), reason="a project has versions of its own")
def test_the_kit_and_its_packages_have_one_version() -> None:
    assert __version__ == OLD


def assert_refused(project: Path, version: str, why: str) -> None:
    before, head = snapshot(project), git(project, "rev-parse", "HEAD", "--tags")
    refused = release(project, version)
    assert refused.returncode == 1
    assert re.search(why, refused.stderr), refused.stderr
    assert snapshot(project) == before
    assert git(project, "rev-parse", "HEAD", "--tags") == head
