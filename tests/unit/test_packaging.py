"""Each component names what it imports, within bounds that say why, and what is pinned
fits: `pyproject.toml`, `requirements.txt` and Dependabot's groups agree."""

import ast
import re
import sys
import tomllib
from fnmatch import fnmatch
from importlib.metadata import packages_distributions
from pathlib import Path
from typing import Any, NamedTuple

import pytest
import yaml
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name
from packaging.version import Version

from local.apps import ROOT
from local.lock import GROUPS
from tests.unit.private_names import read

CHASSIS = ROOT / "packages" / "chassis"
FOLDERS = [ROOT / "backend", *ROOT.glob("packages/*/"), *ROOT.glob("services/*/")]
PINS = [
    *(folder / "requirements.txt" for folder in FOLDERS),
    *(ROOT / target for target in GROUPS.values()),
]
EACH = pytest.mark.parametrize("folder", FOLDERS, ids=lambda folder: folder.name)


class Named(NamedTuple):
    """A dependency, where it is named, and where it is pinned."""

    requirement: Requirement
    project: Path
    file: Path

    @property
    def version(self) -> Version:
        return pins(self.file)[canonicalize_name(self.requirement.name)]

    def admits(self, version: str) -> bool:
        return self.requirement.specifier.contains(version, prereleases=True)

    @property
    def bounded(self) -> bool:
        """Whether the next minor is out of bounds."""
        return not self.admits(f"{self.version.major}.{self.version.minor + 1}")


def dependencies(folder: Path) -> list[Named]:
    """What a component names, less packages of ours."""
    project, file = folder / "pyproject.toml", folder / "requirements.txt"
    texts = tomllib.loads(project.read_text())["project"]["dependencies"]
    named = [Named(Requirement(text), project, file) for text in texts]
    return [
        each for each in named if each.requirement.name != "fastapi-starter-chassis"
    ]


def everything() -> list[Named]:
    """What is named anywhere."""
    project = ROOT / "pyproject.toml"
    groups = tomllib.loads(project.read_text())["dependency-groups"]
    return [
        *(each for folder in FOLDERS for each in dependencies(folder)),
        *(
            Named(Requirement(text), project, ROOT / target)
            for group, target in GROUPS.items()
            for text in groups[group]
        ),
    ]


EACH_NAMED = pytest.mark.parametrize(
    "named", everything(), ids=lambda named: named.requirement.name
)


def pins(file: Path) -> dict[str, Version]:
    """What a file pins, and those that it includes."""
    text = file.read_text()
    found: dict[str, Version] = {}
    for base in re.findall(r"^-r (.+)$", text, re.MULTILINE):
        found |= pins(file.parent / base)
    matches = re.findall(r"^([\w.-]+)==([^\s;]+)", text, re.MULTILINE)
    return found | {name: Version(version) for name, version in matches}


@EACH
def test_what_is_imported_is_named(folder: Path) -> None:
    files = read(folder, "app/**/*.py", "src/**/*.py", "alembic/**/*.py", "*.py")
    ours = {"app", "main", "rabbitmq_client", CHASSIS.name}
    nodes = [node for text in files.values() for node in ast.walk(ast.parse(text))]
    modules = {a.name for n in nodes if isinstance(n, ast.Import) for a in n.names}
    modules |= {n.module or "" for n in nodes if isinstance(n, ast.ImportFrom)}
    tops = {name.partition(".")[0] for name in modules}
    # Who builds on the chassis has what the chassis names.
    named = [*dependencies(folder), *dependencies(CHASSIS)]
    known = {canonicalize_name(each.requirement.name) for each in named}
    for top in tops - ours - sys.stdlib_module_names:
        owners = map(canonicalize_name, packages_distributions()[top])
        assert known & set(owners), f"{folder.name} imports {top} and does not name it"


@EACH_NAMED
def test_what_is_pinned_is_within_the_bounds(named: Named) -> None:
    assert named.admits(str(named.version))


@EACH
def test_what_can_break_us_is_out_of_bounds(folder: Path) -> None:
    """The next major; and the next minor where it means as much."""
    for named in dependencies(folder):
        assert not named.admits(f"{named.version.major + 1}"), named
        if named.version.major == 0 or named.version.is_prerelease:
            assert named.bounded, named


@EACH_NAMED
def test_a_minor_out_of_bounds_has_its_reason(named: Named) -> None:
    """In a comment above it, or above its neighbours."""
    if not named.bounded:
        return
    lines = [line.strip() for line in named.project.read_text().splitlines()]
    own = re.compile(rf"""["']{re.escape(named.requirement.name)}(?![\w-]).*["'],""")
    place = next(n for n, line in enumerate(lines) if own.fullmatch(line))
    while lines[place].startswith(("'", '"')):
        place -= 1
    assert lines[place].startswith("#"), named


@pytest.mark.parametrize("file", PINS, ids=lambda file: str(file.relative_to(ROOT)))
def test_pins_are_hashed_and_name_no_place(file: Path) -> None:
    text = file.read_text()
    assert "://" not in text and "--index-url" not in text
    for pin in re.findall(r"^[\w.-]+==.*\n(?: .*\n)*", text, re.MULTILINE):
        assert "--hash=sha256:" in pin


def test_all_pin_the_same_version() -> None:
    known: dict[str, Version] = {}
    for file in PINS:
        for name, version in pins(file).items():
            assert known.setdefault(name, version) == version, f"{name}: {file}"


def dependabot() -> dict[str, Any]:
    updates = yaml.safe_load((ROOT / ".github/dependabot.yml").read_text())["updates"]
    found: dict[str, Any] = next(u for u in updates if u["package-ecosystem"] == "pip")
    return found


@EACH_NAMED
def test_dependabot_groups_no_minor_that_is_out_of_bounds(named: Named) -> None:
    for group in dependabot()["groups"].values():
        if named.bounded and "minor" in group["update-types"]:
            patterns = group["exclude-patterns"]
            assert any(fnmatch(named.requirement.name, each) for each in patterns)


@pytest.mark.parametrize("file", PINS, ids=lambda file: str(file.relative_to(ROOT)))
def test_dependabot_knows_the_folder(file: Path) -> None:
    folder = f"/{file.parent.relative_to(ROOT)}".removesuffix(".")
    assert any(fnmatch(folder, each) for each in dependabot()["directories"])
