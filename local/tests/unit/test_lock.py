"""The files of `make lock`, written by uv itself from packages made here."""

import zipfile
from pathlib import Path

import pytest

from local.apps import ROOT
from local.lock import lock, projects

ROOT_PROJECT = """
[project]
name = "whole"
version = "1"
requires-python = ">=3.11"
[dependency-groups]
local = ["pen"]
dev = ["ink"]
pip = ["pen"]
bench = []
mutation = []
patroni = []
[tool.uv.workspace]
members = ["packages/*", "backend", "services/*"]
[tool.uv.sources]
shared = { workspace = true }
"""


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """A project with a shared package, a backend and a service, and packages to choose
    from: `pen` needs `ink`, and `ink` has two versions."""
    root = tmp_path / "a project"
    root.mkdir()
    (root / "pyproject.toml").write_text(ROOT_PROJECT)
    project(root / "packages/shared", "ink")
    project(root / "backend", "shared", "ink<2")
    project(root / "services/one", "shared")
    wheel(root, "ink", "1")
    wheel(root, "ink", "2")
    wheel(root, "pen", "1", "ink")
    (root / "local").mkdir()
    (root / "bench").mkdir()
    (root / "tests/faults").mkdir(parents=True)
    (root / "deploy/ha/patroni").mkdir(parents=True)
    return root


def project(folder: Path, *dependencies: str) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    text = f'[project]\nname = "{folder.name}"\nversion = "1"\n'
    text += f'requires-python = ">=3.11"\ndependencies = {list(dependencies)}\n'
    (folder / "pyproject.toml").write_text(text)


def wheel(root: Path, name: str, version: str, *needs: str) -> None:
    """The smallest wheel that a resolver accepts."""
    (root / "wheels").mkdir(exist_ok=True)
    path = root / "wheels" / f"{name}-{version}-py3-none-any.whl"
    metadata = f"Metadata-Version: 2.1\nName: {name}\nVersion: {version}\n"
    metadata += "".join(f"Requires-Dist: {each}\n" for each in needs)
    info = f"{name}-{version}.dist-info"
    with zipfile.ZipFile(path, "w") as file:
        file.writestr(f"{info}/METADATA", metadata)
        file.writestr(f"{info}/WHEEL", "Wheel-Version: 1.0\nTag: py3-none-any\n")
        file.writestr(f"{info}/RECORD", "")


def run(root: Path, *options: str) -> int:
    words = ["--no-index", "--find-links", str(root / "wheels"), "--offline"]
    return lock([*words, *options], root)


def pins(root: Path, target: str) -> list[str]:
    """Lines of a file without hashes and comments."""
    lines = (root / target).read_text().splitlines()
    return [line.split(" \\")[0] for line in lines if line.strip()[0] not in "-#"]


def includes(root: Path, target: str) -> list[str]:
    lines = (root / target).read_text().splitlines()
    return [line for line in lines if line.startswith("-r")]


def test_every_file_of_a_component_is_locked() -> None:
    """With one for each extra: who installs an extra needs its pins, too."""
    places = ("packages/*", "backend", "services/*")
    there = {f for each in places for f in ROOT.glob(f"{each}/requirements*.txt")}
    assert {f for each in projects(ROOT) for f in each.targets.values()} == there


def test_a_project_is_locked(root: Path) -> None:
    """With the same versions in all that ships, without the name of an index, and
    with one line for a component that needs no packages of its own."""
    assert run(root) == 0
    assert pins(root, "packages/shared/requirements.txt") == ["ink==1"]
    assert pins(root, "local/requirements.txt") == ["ink==1", "pen==1"]
    assert pins(root, "requirements-dev.txt") == ["ink==1"]
    for target, base in (
        ("services/one/requirements.txt", "../../packages/shared/requirements.txt"),
        ("backend/requirements.txt", "../packages/shared/requirements.txt"),
    ):
        assert includes(root, target) == [f"-r {base}"]
        assert pins(root, target) == []
    for file in root.rglob("requirements*.txt"):
        assert str(root) not in file.read_text()
        assert "://" not in file.read_text()


def test_a_services_packages_are_pinned_there_only(root: Path) -> None:
    project(root / "services/two", "shared", "pen")
    run(root)
    target = "services/two/requirements.txt"
    assert includes(root, target) == ["-r ../../packages/shared/requirements.txt"]
    assert pins(root, target) == ["pen==1"]
    assert "--hash=sha256:" in (root / target).read_text()
    assert pins(root, "services/one/requirements.txt") == []


def test_a_package_that_the_base_needs_only_sometimes_is_kept(root: Path) -> None:
    project(root / "packages/shared", "ink; sys_platform == 'win32'")
    run(root)
    assert pins(root, "backend/requirements.txt") == ["ink==1"]


def test_versions_stay_until_an_upgrade(root: Path) -> None:
    run(root)
    project(root / "backend", "shared")
    run(root)
    assert pins(root, "packages/shared/requirements.txt") == ["ink==1"]
    run(root, "--upgrade")
    assert pins(root, "packages/shared/requirements.txt") == ["ink==2"]


def test_conflicting_versions_are_refused(root: Path) -> None:
    project(root / "services/two", "shared", "ink>1")
    assert run(root) == 1
    assert not (root / "services/two/requirements.txt").exists()
