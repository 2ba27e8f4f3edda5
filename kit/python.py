"""Python sources: cut out, formatted, checked."""

import ast
import tomllib
from collections.abc import Collection, Iterator
from functools import cache
from pathlib import Path

import black
import isort

from kit.tree import KitError


def formatted(root: Path, path: str, text: str) -> str:
    """As `make format` leaves it. Raises KitError if it is no Python, or if two things
    have one name, as when a resource is called like a class that its code uses."""
    try:
        bound = [name for node in ast.parse(text).body for name in _bindings(node)]
    except SyntaxError as error:
        raise KitError(f"{path} would not be Python: {error}") from error
    twice = sorted({name for name in bound if bound.count(name) > 1})
    if twice:
        raise KitError(f"The name is taken: {path} would use {twice[0]} for two things")
    return _format(text, (root / "pyproject.toml").read_text())


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


def definitions(text: str) -> set[str]:
    """Names of the functions of a module."""
    kinds = (ast.FunctionDef, ast.AsyncFunctionDef)
    return {node.name for node in ast.parse(text).body if isinstance(node, kinds)}


def cut(path: str, text: str, wanted: Collection[str]) -> tuple[str, str]:
    """Some functions and variables of a module, and the imports that they need.

    Raises KitError if one of them is not there.
    """
    tree = ast.parse(text)
    kept = [node for node in tree.body if set(_bindings(node)) & set(wanted)]
    found = {name for node in kept for name in _bindings(node)}
    if missing := set(wanted) - found:
        raise KitError(f"{path} has no {sorted(missing)[0]}: was it renamed?")
    used = {
        each.id
        for node in kept
        for each in ast.walk(node)
        if isinstance(each, ast.Name)
    }
    imports = []
    for node in tree.body:
        if isinstance(node, ast.ImportFrom):
            names = [alias.name for alias in node.names if alias.name in used]
            if names:
                imports.append(f"from {node.module} import {', '.join(names)}")
    return "\n".join(imports), "\n\n\n".join(_source(text, node) for node in kept)


def _source(text: str, node: ast.stmt) -> str:
    decorators = getattr(node, "decorator_list", [])
    first = min([node.lineno, *(each.lineno for each in decorators)])
    return "\n".join(text.splitlines()[first - 1 : node.end_lineno])
