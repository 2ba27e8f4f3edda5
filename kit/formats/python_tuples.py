"""Python: calls in a tuple of a module, such as the registry of services.

black must format what these functions return.
"""

import ast
import re
from collections.abc import Iterator

from kit.formats import Entry
from kit.tree import KitError


def entries(fragment: str) -> Iterator[Entry]:
    """Every element of every tuple."""
    for name, found in _tuples(fragment).items():
        yield from (Entry((name,), ast.unparse(each)) for each in found.elts)


def insert(text: str, entry: Entry) -> str:
    """Insert it before the closing bracket of the tuple."""
    found = _find(text, entry)
    if same := _like(found, entry):
        raise KitError(f"{ast.unparse(same)} already exists")
    source = _source(text, found)
    code = re.sub("#.*", "", source[:-1]).rstrip()
    comma = "" if code.endswith((",", "(")) else ","
    return text.replace(source, f"{source[:-1]}{comma}\n{entry.text},\n)", 1)


def remove(text: str, entry: Entry, force: bool) -> str | None:
    """Remove the call with the same first argument, and the comma after it."""
    found = _find(text, entry)
    element = _like(found, entry)
    if element is None or not force and ast.unparse(element) != entry.text:
        return None
    source, part = _source(text, found), re.escape(_source(text, element))
    return text.replace(source, re.sub(rf"{part}\s*,?", "", source, count=1), 1)


def _tuples(text: str) -> dict[str, ast.Tuple]:
    found = {}
    for node in ast.parse(text).body:
        match node:
            case ast.Assign(targets=[ast.Name(id=name)], value=ast.Tuple() as value):
                found[name] = value
            case ast.AnnAssign(target=ast.Name(id=name), value=ast.Tuple() as value):
                found[name] = value
    return found


def _find(text: str, entry: Entry) -> ast.Tuple:
    (name,) = entry.place
    if name not in (found := _tuples(text)):
        raise KitError(f"the tuple {name} is missing")
    return found[name]


def _like(found: ast.Tuple, entry: Entry) -> ast.expr | None:
    wanted = _key(ast.parse(entry.text, mode="eval").body)
    return next((each for each in found.elts if _key(each) == wanted), None)


def _key(node: ast.expr) -> str:
    return ast.unparse(node.args[0]) if isinstance(node, ast.Call) else ""


def _source(text: str, node: ast.expr) -> str:
    return ast.get_source_segment(text, node) or ""
