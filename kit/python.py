"""Formats and inspects Python sources."""

import ast
import tomllib
from collections.abc import Iterator
from functools import cache
from pathlib import Path

import black
import isort

from kit.tree import KitError


def formatted(root: Path, path: str, text: str) -> str:
    """The text as `make format` leaves it, if it is Python."""
    if not path.endswith(".py"):
        return text
    return _format(text, (root / "pyproject.toml").read_text())


def check(path: str, text: str) -> None:
    """Raise KitError if the text is not valid Python, or if one name has two meanings:
    for example, a resource has the name of a class that its code uses."""
    try:
        bound = [name for node in ast.parse(text).body for name in _bindings(node)]
    except SyntaxError as error:
        raise KitError(f"{path} would not be valid Python: {error}") from error
    twice = sorted({name for name in bound if bound.count(name) > 1})
    if twice:
        raise KitError(f"The name is taken: {path} would define {twice[0]} twice")


@cache
def _format(text: str, project: str) -> str:
    tools = tomllib.loads(project)["tool"]
    config = isort.Config(
        profile=tools["isort"]["profile"],
        known_first_party=frozenset(tools["isort"]["known_first_party"]),
    )
    mode = black.Mode(line_length=tools["black"]["line-length"])
    return black.format_str(isort.code(text, config=config), mode=mode)


def _bindings(node: ast.stmt) -> Iterator[str]:
    if isinstance(node, ast.Import | ast.ImportFrom):
        yield from (alias.asname or alias.name for alias in node.names)
    elif isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef):
        yield node.name
    elif isinstance(node, ast.Assign):
        yield from (each.id for each in node.targets if isinstance(each, ast.Name))


@cache
def definitions(path: str, text: str) -> frozenset[str]:
    """The names of a module's functions and classes. Raises KitError."""
    try:
        body = ast.parse(text).body
    except SyntaxError as error:
        raise KitError(f"{path} is not valid Python: {error}") from error
    kinds = (ast.FunctionDef, ast.AsyncFunctionDef, ast.ClassDef)
    return frozenset(node.name for node in body if isinstance(node, kinds))
