"""Each name is unique, so a traceback, a log line or a search leads to one place."""

import ast
from collections import defaultdict
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[3]
SOURCES = (ROOT / "backend/app", ROOT / "packages/chassis/src")

DEFINITIONS = (ast.ClassDef, ast.FunctionDef, ast.AsyncFunctionDef)


@pytest.mark.promise(
    "ARCHITECTURE.md", "A test fails when two classes or functions share a name."
)
def test_no_two_classes_or_functions_share_a_name() -> None:
    places: dict[str, list[str]] = defaultdict(list)
    for source in SOURCES:
        for file in sorted(source.rglob("*.py")):
            for node in ast.parse(file.read_text()).body:
                if isinstance(node, DEFINITIONS):
                    places[node.name].append(f"{file.relative_to(ROOT)}:{node.lineno}")
    shared = {name: found for name, found in places.items() if len(found) > 1}
    lines = [f"{name}: {found}" for name, found in shared.items()]
    assert not lines, "\n".join(lines)
