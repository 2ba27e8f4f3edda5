"""Which functions changed since a commit."""

import ast
import re
import subprocess
from collections.abc import Iterator
from pathlib import Path

HUNK = re.compile(r"^@@ -\S+ \+(\d+)(?:,(\d+))? @@", re.MULTILINE)

#: Names of functions, or of `Class.method`, by file.
Functions = dict[str, set[str]]


def base(root: Path) -> str:
    """The commit where this branch left `main`, of `origin` if it is known."""
    for branch in ("origin/main", "main"):
        result = _git(root, "merge-base", "HEAD", branch)
        if result.returncode == 0:
            return result.stdout.strip()
    return "HEAD"


def functions_below(root: Path, places: list[str]) -> Functions:
    """All functions in files and folders."""
    found = {}
    for place in places:
        path = root / place
        for file in sorted(path.rglob("*.py")) if path.is_dir() else [path]:
            if names := {name for name, _ in spans(file.read_text())}:
                found[str(file.relative_to(root))] = names
    return found


def changed_functions(root: Path, since: str, places: list[str]) -> Functions:
    """Those with lines that differ, committed or not."""
    listed = _output(root, "diff", "--name-only", "--diff-filter=d", since, "--")
    untracked = _output(root, "ls-files", "--others", "--exclude-standard")
    found: Functions = {}
    for name in dict.fromkeys([*listed.splitlines(), *untracked.splitlines()]):
        if not name.endswith(".py") or not any(_is_in(name, each) for each in places):
            continue
        source = (root / name).read_text()
        if name in untracked.splitlines():
            lines = set(range(1, source.count("\n") + 2))
        else:
            lines = changed_lines(_output(root, "diff", "-U0", since, "--", name))
        if functions := {name for name, span in spans(source) if lines & span}:
            found[name] = functions
    return found


def changed_lines(diff: str) -> set[int]:
    """The lines of the new file; where lines went, both neighbours."""
    lines: set[int] = set()
    for start, count in HUNK.findall(diff):
        first, number = int(start), int(count or 1)
        lines |= set(range(first, first + number)) or {first, first + 1}
    return lines


def spans(source: str) -> Iterator[tuple[str, set[int]]]:
    """The functions and methods of a module with their lines. What is defined in a
    function belongs to it."""
    for node in ast.parse(source).body:
        if isinstance(node, ast.ClassDef):
            for method in node.body:
                if isinstance(method, ast.FunctionDef | ast.AsyncFunctionDef):
                    yield f"{node.name}.{method.name}", _span(method)
        elif isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            yield node.name, _span(node)


def _span(node: ast.FunctionDef | ast.AsyncFunctionDef) -> set[int]:
    first = min(each.lineno for each in (node, *node.decorator_list))
    return set(range(first, (node.end_lineno or first) + 1))


def _is_in(name: str, place: str) -> bool:
    return Path(name).is_relative_to(place)


def _output(root: Path, *arguments: str) -> str:
    result = _git(root, *arguments)
    result.check_returncode()
    return result.stdout


def _git(root: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(["git", *arguments], cwd=root, text=True, capture_output=True)
