"""Each component names what it imports, within bounds that say why, and what is pinned
fits: `pyproject.toml`, `requirements.txt` and Dependabot's groups agree."""

import ast
import re
import subprocess
import sys
import tomllib
from collections.abc import Iterable
from fnmatch import fnmatch
from functools import cache
from importlib.metadata import distributions
from itertools import chain
from pathlib import Path
from typing import Any, NamedTuple

import pytest
import yaml
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name
from packaging.version import Version

from local.apps import ROOT
from local.bootstrap import requirement_files
from local.lock import COMPILE, GROUPS
from tests.unit.private_names import read

CHASSIS = ROOT / "packages" / "chassis"
FOLDERS = [ROOT / "backend", *ROOT.glob("packages/*/"), *ROOT.glob("services/*/")]
PINS = [
    *(file for folder in FOLDERS for file in folder.glob("requirements*.txt")),
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
    """What a component names, its extras included, less packages of ours."""
    project, file = folder / "pyproject.toml", folder / "requirements.txt"
    own = tomllib.loads(project.read_text())["project"]
    optional = own.get("optional-dependencies", {}).items()
    extras = [
        Named(Requirement(text), project, folder / f"requirements-{extra}.txt")
        for extra, texts in optional
        for text in texts
    ]
    texts = own["dependencies"]
    named = extras + [Named(Requirement(text), project, file) for text in texts]
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


@cache
def owners() -> dict[str, str]:
    """The package that brings a module, by the module's full name."""
    found: dict[str, str] = {}
    for package in distributions():
        for file in package.files or []:
            if file.suffix in {".py", ".so"}:
                path = file.parent if file.stem == "__init__" else file.with_suffix("")
                found[".".join(path.parts)] = canonicalize_name(
                    package.metadata["Name"]
                )
    return found


def owner(name: str) -> str:
    """Of a module or of something in it; nothing for what is ours or Python's own."""
    while name and name not in owners():
        name = name.rpartition(".")[0]
    return owners().get(name, "")


def imported(texts: Iterable[str]) -> set[str]:
    """The packages that these modules import, ours and Python's own left out."""
    names: set[str] = set()
    for node in chain.from_iterable(ast.walk(ast.parse(text)) for text in texts):
        if isinstance(node, ast.Import):
            names.update(alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            names.update(f"{node.module}.{alias.name}" for alias in node.names)
    return set(map(owner, names)) - {""}


@EACH
def test_imported_packages_are_declared(folder: Path) -> None:
    files = read(folder, "app/**/*.py", "src/**/*.py", "alembic/**/*.py", "*.py")
    # Who builds on the chassis has what the chassis names.
    named = [*dependencies(folder), *dependencies(CHASSIS)]
    known = {canonicalize_name(each.requirement.name) for each in named}
    assert imported(files.values()) <= known


LOADED = """
import sys, {module}
for name, module in sys.modules.items():
    if name.partition(".")[0] == "{folder}" and module.__file__:
        print(module.__file__)
"""


@pytest.mark.parametrize(
    "module", ["local.commands", *(["bench.cli"] if (ROOT / "bench").exists() else [])]
)
def test_commands_need_only_what_the_first_of_them_installs(module: str) -> None:
    """`make run` in a fresh clone installs no tools of development."""
    code = LOADED.format(module=module, folder=module.partition(".")[0])
    run = subprocess.run(
        [sys.executable, "-c", code], cwd=ROOT, stdout=subprocess.PIPE, text=True
    )
    assert run.returncode == 0
    pinned = {n for file in requirement_files(development=False) for n in pins(file)}
    assert (
        imported(Path(file).read_text() for file in run.stdout.splitlines()) <= pinned
    )


def test_owners_of_modules_are_known() -> None:
    assert owner("opentelemetry.sdk.trace.Tracer") == "opentelemetry-sdk"
    assert owner("opentelemetry.trace") == "opentelemetry-api"
    assert owner("pydantic_settings.BaseSettings") == "pydantic-settings"
    assert owner("os.path") == owner("chassis.logs") == ""


@EACH_NAMED
def test_pins_are_within_the_bounds(named: Named) -> None:
    assert named.admits(str(named.version))


@EACH
def test_breaking_versions_are_excluded(folder: Path) -> None:
    """The next major; and the next minor where it means as much."""
    for named in dependencies(folder):
        assert not named.admits(f"{named.version.major + 1}"), named
        if named.version.major == 0 or named.version.is_prerelease:
            assert named.bounded, named


@EACH_NAMED
def test_an_excluded_minor_has_a_reason(named: Named) -> None:
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


def test_all_files_pin_the_same_version() -> None:
    known: dict[str, Version] = {}
    for file in PINS:
        for name, version in pins(file).items():
            assert known.setdefault(name, version) == version, f"{name}: {file}"


def test_pins_are_for_the_oldest_python_that_we_support() -> None:
    given = COMPILE[COMPILE.index("--python-version") + 1]
    for folder in [ROOT, *FOLDERS]:
        text = (folder / "pyproject.toml").read_text()
        assert tomllib.loads(text)["project"]["requires-python"] == f">={given}"


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
