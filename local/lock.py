"""Compiles every `pyproject.toml` into a `requirements.txt` with hashes.

Everything that ships is resolved together first, so that all parts use the same
versions; the tools then use versions that fit these. A component that builds on a
package of `packages/` starts with that package's requirements and adds its own. An
extra of a package has a file of its own, `requirements-EXTRA.txt`.
"""

import os
import re
import subprocess
import sys
import tomllib
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from local.apps import ROOT

COMPILE = ["-m", "uv", "pip", "compile", "--quiet", "--universal", "--generate-hashes"]
COMPILE += ["--python-version", "3.11", "--no-emit-index-url", "--no-header"]
HEADER = "# Written by `make lock`.\n"

# Dependency groups, in the order in which they choose versions.
GROUPS = {
    "local": "local/requirements.txt",
    "pip": "local/requirements-pip.txt",
    "dev": "requirements-dev.txt",
    "bench": "bench/requirements.txt",
    "mutation": "tests/faults/requirements.txt",
    "patroni": "deploy/ha/patroni/requirements.txt",
}


@dataclass(frozen=True)
class Project:
    """A component that ships."""

    folder: Path
    name: str
    dependencies: list[str]  # names, with extras and without versions
    extras: list[str]

    @property
    def source(self) -> str:
        return str(self.folder / "pyproject.toml")

    @property
    def target(self) -> Path:
        return self.folder / "requirements.txt"

    @property
    def targets(self) -> dict[str, Path]:
        """The files by what a dependency says: `name`, or `name[extra]`."""
        found = {self.name: self.target}
        for extra in self.extras:
            file = self.folder / f"requirements-{extra}.txt"
            found[f"{self.name}[{extra}]"] = file
        return found


def lock(options: list[str], root: Path = ROOT) -> int:
    """Compile all; options such as `--upgrade` go to uv. Returns the exit code."""
    try:
        _lock(options, root)
    except subprocess.CalledProcessError as error:  # uv has printed the reason
        return error.returncode
    return 0


def projects(root: Path) -> list[Project]:
    """Packages that others build on come first."""
    found = []
    for place in ("packages/*", "backend", "services/*"):
        for file in sorted(root.glob(f"{place}/pyproject.toml")):
            read = tomllib.loads(file.read_text())["project"]
            named = [re.split(r"[^][\w.-]", each)[0] for each in read["dependencies"]]
            extras = list(read.get("optional-dependencies", {}))
            found.append(Project(file.parent, read["name"], named, extras))
    return found


def _lock(options: list[str], root: Path) -> None:
    shipped = projects(root)
    ours = [each for each in shipped if each.folder.parent.name == "packages"]
    packages = {name: file for each in ours for name, file in each.targets.items()}
    # These are copied into images, not installed.
    options = [*options, *(f"--no-emit-package={each.name}" for each in ours)]
    together = root / ".local" / "locked-together.txt"
    together.parent.mkdir(exist_ok=True)
    # uv keeps the versions that it finds in its output file.
    files = [file for each in shipped for file in each.targets.values()]
    together.write_text("".join(_pins(files)))
    sources = [each.source for each in shipped]
    _compile(together, [*sources, "--all-extras", *options], root)
    for project in shipped:
        bases = [packages[name] for name in project.dependencies if name in packages]
        _compile(project.target, [project.source, *options], root, together)
        _write(project.target, bases)
        for extra in project.extras:
            file = project.targets[f"{project.name}[{extra}]"]
            words = [project.source, "--extra", extra, *options]
            _compile(file, words, root, together)
            _write(file, [project.target])
    constraints = [together]
    for group, name in GROUPS.items():
        _compile(root / name, ["--group", group, *options], root, *constraints)
        _write(root / name, [])
        constraints.append(root / name)


def _compile(target: Path, words: list[str], root: Path, *constraints: Path) -> None:
    print(target.relative_to(root), flush=True)
    command = [sys.executable, *COMPILE, "-o", str(target), *words]
    command += [f"--constraints={file}" for file in constraints]
    subprocess.run(command, cwd=root, check=True)


def _write(target: Path, bases: list[Path]) -> None:
    """Combine the result with the base files: leave out what they pin identically."""
    known = {_without_comments(pin) for pin in _pins(bases)}
    lines = [f"-r {os.path.relpath(base, target.parent)}\n" for base in bases]
    for pin in _pins([target]):
        if _without_comments(pin) not in known:
            # Keep which package needs it; drop that it is constrained.
            lines.append(re.sub(r" +# +-c .*\n", "", pin))
    target.write_text("".join([HEADER, *lines]))


def _pins(files: Iterable[Path]) -> list[str]:
    """The pinned packages, each with its hashes and comments."""
    pattern = re.compile(r"^[\w.-]+==.*\n(?: .*\n)*", re.MULTILINE)
    texts = (file.read_text() for file in files if file.exists())
    return [pin for text in texts for pin in pattern.findall(text)]


def _without_comments(pin: str) -> str:
    return re.sub(r" *# .*\n", "", pin)
