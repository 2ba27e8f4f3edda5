"""Checks and tests of every component, and one summary.

`backend/` and each service have modules of the same names (`app`, `main`), so each
component is checked and tested in a separate process.
"""

import json
import os
import shutil
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from itertools import chain
from pathlib import Path
from typing import NamedTuple

from local.apps import ROOT
from local.bootstrap import requirement_files
from local.install import install_missing
from local.registry import lacks_demo
from local.state import FAILED

# The console script is not reliable: in a moved venv it contains the old path.
LINT_IMPORTS = "from importlinter.cli import lint_imports_command as c; c()"
# Collecting garbage takes a quarter of black's time, and it makes hardly any.
BLACK = "import black, gc; gc.disable(); black.patched_main()"
# The wheel contains a program and no module.
HADOLINT = "import os, sys; os.execv(sys.argv[1], sys.argv[1:])"
NO_TESTS = 5  # pytest's exit code
LONGEST = "faulthandler_timeout=3600"  # for tests that tell a story of many steps

# The parts that take about a minute or more, the longest first.
LONG = (
    "tests backend integration 1",
    "tests backend integration 2",
    "tests root unit",
    "tests chassis integration",
    "tests root e2e",
    "tests local integration",
    "tests root integration",
    "tests kit unit",
)

# Takes twice as long as any other part, so it runs in two, side by side.
HALVED = "tests backend integration"

# What runs in production, for bandit.
SHIPPED = ["backend", "packages", "services"]
TESTS = "*/tests/*"

# pip-audit's message when the vulnerability database cannot be reached.
UNREACHABLE = ("ConnectionError", "ServiceError", "Failed to", "Max retries")


class Part(NamedTuple):
    """One process of the suite."""

    name: str
    arguments: list[str]  # of Python
    folder: Path = ROOT
    own_path: bool = True  # whether `folder` is importable, besides the root
    shown: bool = False  # whether its output is, also when it passed


class Result(NamedTuple):
    """How a part ended."""

    name: str
    passed: bool
    seconds: float


def components() -> list[Path]:
    """The folders of independent components."""
    rest = [*ROOT.glob("packages/*/"), *ROOT.glob("services/*/")]
    return [ROOT / "backend", *sorted(rest), ROOT]


def check() -> int:
    """Formatting, style, types and layers."""
    return _report(_checks())


def audit() -> int:
    """Known vulnerabilities in the pinned packages; without the internet the result is
    unknown, which is not a failure."""
    worst = 0
    for file in requirement_files(development=True):
        name = file.relative_to(ROOT)
        command = ["-m", "pip_audit", "--disable-pip", "--no-deps", "--timeout", "10"]
        command += ["--progress-spinner", "off", "--format", "json", "-r", str(name)]
        result = subprocess.run(
            [sys.executable, *command], cwd=ROOT, capture_output=True, text=True
        )
        if result.returncode and any(word in result.stderr for word in UNREACHABLE):
            print(f"{name}: not audited, the vulnerability database cannot be reached")
            continue
        print(f"{name}: {_audited(result.stdout) or result.stderr}")
        worst = max(worst, result.returncode)
    return worst


def _audited(report: str) -> str:
    """pip-audit's JSON in words; None if it is not JSON."""
    try:
        packages = json.loads(report)["dependencies"]
    except ValueError:
        return ""
    known = [package for package in packages if "vulns" in package]
    lines = [f"{len(known)} of {len(packages)} packages audited"]
    if not known:
        lines[0] += ": the database here knows none of them, so the result is unknown"
    for package in known:
        for found in package["vulns"]:
            fixed = ", ".join(found["fix_versions"]) or "no release"
            name, version = package["name"], package["version"]
            lines.append(f"  {name} {version}: {found['id']}, fixed in {fixed}")
    return "\n".join(lines)


def unit(arguments: list[str]) -> int:
    """Tests without servers."""
    return _report(_tests("unit", arguments), at_once=not arguments)


def integration(arguments: list[str]) -> int:
    """Tests with servers."""
    install_missing(print, for_tests=True)
    return _report(_tests("integration", arguments), at_once=not arguments)


def e2e(arguments: list[str]) -> int:
    """Tests through nginx."""
    install_missing(print, for_tests=True)
    return _report(_tests("e2e", arguments), at_once=not arguments)


def chaos(arguments: list[str]) -> int:
    """Break everything in turn, under load; without `--short`, run the slow fault tests
    first."""
    parts = []
    if not lacks_demo("make chaos"):
        parts.append(Part("under fire", ["-m", "tests.chaos", *arguments]))
        short = ["--short"] if "--short" in arguments else []
        parts.append(Part("hostile clients", ["-m", "tests.hostile", *short]))
    if "--short" not in arguments:
        parts.insert(0, _pytest("slow faults", ["tests", "-m", "chaos"]))
    return _report(parts, at_once=False)


def hostile(arguments: list[str]) -> int:
    """Hostile clients, with a normal client at the same time."""
    if lacks_demo("make hostile"):
        return 0
    part = Part("hostile clients", ["-m", "tests.hostile", *arguments])
    return _report([part], at_once=False)


def mutate(arguments: list[str]) -> int:
    """Break code, and see whether tests notice."""
    part = Part("faults", ["-m", "tests.faults", *arguments])
    return _report([part], at_once=False)


def upgrade(arguments: list[str]) -> int:
    """From the last release to this tree under load, and back."""
    if lacks_demo("make upgrade"):
        return 0
    install_missing(print, for_tests=True)
    words = ["tests/e2e", "-m", "upgrade", "-o", LONGEST, *arguments]
    return _report([_pytest("rolling upgrade", words)], at_once=False)


def kit(arguments: list[str]) -> int:
    """Check, test and run generated code in copies; takes most of an hour."""
    install_missing(print, for_tests=True)
    words = ["kit/tests", "local/tests", "-m", "kit", "-o", LONGEST, *arguments]
    return _report([_pytest("generators", words)], at_once=False)


def docs() -> int:
    """Run the tests that write documents from code."""
    os.environ["UPDATE_DOCS"] = "1"
    return unit(["-q", "-k", "test_the_document_is_up_to_date"])


def compose(arguments: list[str]) -> int:
    """Build and run the containers, images and compose files."""
    return _report([_pytest("compose", ["tests/compose", *arguments])], at_once=False)


def everything(arguments: list[str]) -> int:
    """Checks, then tests; all run even when some fail."""
    # Once: the parts would stand in each other's way.
    install_missing(print, for_tests=True)
    return _report(_in_order([*all_tests(arguments), *_checks()]))


def all_tests(arguments: list[str]) -> list[Part]:
    """The tests of all kinds."""
    kinds = ("e2e", "integration", "unit")
    return list(chain.from_iterable(_tests(kind, arguments) for kind in kinds))


def _in_order(parts: list[Part]) -> list[Part]:
    """The long ones first: the others then fill what is left of the time."""
    return sorted(parts, key=lambda part: (*LONG, part.name).index(part.name))


def _checks() -> list[Part]:
    return [
        # With --diff it would read valid files again.
        Part("black", ["-c", BLACK, "--check", "."]),
        Part("isort", ["-m", "isort", "--check", "--diff", "--quiet", "."]),
        Part("flake8", ["-m", "flake8"]),
        Part("import-linter", ["-c", LINT_IMPORTS], own_path=False),
        Part("bandit", ["-m", "bandit", "-q", "-ll", "-r", *SHIPPED, "-x", TESTS]),
        Part("hadolint", ["-c", HADOLINT, *_hadolint()]),
        Part("prose", ["-m", "local.prose"]),
        Part("migrations", ["-m", "local.migrations"], ROOT / "backend"),
        Part("mypy", ["-m", "local.typecheck"]),
    ]


def _hadolint() -> list[str]:
    program = Path(sys.executable).with_name("hadolint")
    places = ("*", "*/*", "deploy/ha/*", "kit/templates/*/services/*")
    dockerfiles = [
        file for place in places for file in ROOT.glob(f"{place}/Dockerfile")
    ]
    return [str(program), *(str(file) for file in sorted(dockerfiles))]


def _tests(kind: str, arguments: list[str]) -> list[Part]:
    groups = [
        ("root", ROOT, "tests"),
        ("local", ROOT, "local/tests"),
        ("kit", ROOT, "kit/tests"),
        *((folder.name, folder, "tests") for folder in components()[:-1]),
    ]
    parts = []
    for label, folder, place in groups:
        path, name = f"{place}/{kind}", f"tests {label} {kind}"
        if name == HALVED:
            # The time that a file takes is about as its size. Ignored, not named:
            # pytest would collect a named file in any case.
            files = sorted((folder / path).rglob("test_*.py"), key=_size)
            for number, others in enumerate((files[1::2], files[::2]), start=1):
                words = [path, *(f"--ignore={file}" for file in others), *arguments]
                parts.append(_pytest(f"{name} {number}", words, folder))
        elif (folder / path).is_dir():
            parts.append(_pytest(name, [path, *arguments], folder))
    return parts


def _size(file: Path) -> int:
    return file.stat().st_size


def _pytest(name: str, arguments: list[str], folder: Path = ROOT) -> Part:
    return Part(name, ["-m", "pytest", *arguments], folder, shown=True)


def _run(part: Part, *, captured: bool) -> Result:
    if not captured:
        print(f"\n== {part.name}", flush=True)
    paths = [part.folder] if part.own_path else [ROOT / "backend"]
    path = os.pathsep.join(str(folder) for folder in dict.fromkeys([*paths, ROOT]))
    began = time.monotonic()
    result = subprocess.run(
        [sys.executable, *part.arguments],
        cwd=part.folder,
        env={**os.environ, "PYTHONPATH": path},
        stdout=subprocess.PIPE if captured else None,
        stderr=subprocess.STDOUT if captured else None,
        text=True,
    )
    passed = result.returncode in (0, NO_TESTS)
    if captured:
        output = f"\n{result.stdout}" if part.shown or not passed else ""
        print(f"{'ok    ' if passed else 'FAILED'} {part.name}{output}", flush=True)
    return Result(part.name, passed, time.monotonic() - began)


def _report(parts: list[Part], *, at_once: bool = True) -> int:
    """Run all parts, and print how each ended.

    Two more than there are cores run at once, because tests with servers wait for
    half of their time. The output of each is printed when it ends. Otherwise they run
    one after another with live output.
    """
    began = time.monotonic()
    shutil.rmtree(FAILED, ignore_errors=True)
    with ThreadPoolExecutor((os.cpu_count() or 1) + 2 if at_once else 1) as pool:
        results = list(pool.map(partial(_run, captured=at_once), parts))
    print()
    for result in results:
        verdict = "ok" if result.passed else "FAILED"
        print(f"{result.name:40} {verdict:7} {result.seconds:6.1f} s")
    failed = [result.name for result in results if not result.passed]
    seconds = time.monotonic() - began
    print(
        f"{len(results) - len(failed)} of {len(results)} passed, {seconds:.0f} s in all"
    )
    if FAILED.exists():
        print(f"Logs of failed tests: {FAILED.relative_to(ROOT)}")
    return 1 if failed else 0
