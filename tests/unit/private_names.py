"""Finds private names of other packages: used, imported, or taken by a subclass.

Reads our code without running it. Only the classes of others that ours derive from are
imported, to see which names are theirs.
"""

import ast
import builtins
import inspect
import re
from collections.abc import Iterable, Iterator, Mapping
from functools import cache
from importlib import import_module
from itertools import chain
from pathlib import Path
from typing import Any

# Documented by those who own them.
PUBLIC = {
    "os._exit",
    # Of named tuples.
    *("_asdict", "_fields", "_make", "_replace"),
}
BY_NAME = {"attrgetter", "delattr", "getattr", "hasattr", "setattr"}


class Package:
    """The files of one package of ours, and what they define."""

    def __init__(self, files: Mapping[str, str], own: Iterable[str]) -> None:
        self.trees = {name: ast.parse(text) for name, text in files.items()}
        self.own = set(own)  # its top modules
        nodes = [node for tree in self.trees.values() for node in ast.walk(tree)]
        self.classes = {n.name: n for n in nodes if isinstance(n, ast.ClassDef)}
        self.attributes = {name for node in nodes for name in _defined(node)}

    def findings(self) -> Iterator[str]:
        """File, line and name of what belongs to others."""
        for file, tree in self.trees.items():
            module = Module(self, tree)
            for node in ast.walk(tree):
                for name in module.foreign_in(node):
                    yield f"{file}:{getattr(node, 'lineno', 0)} {name}"


class Module:
    """One file of a package."""

    def __init__(self, package: Package, tree: ast.Module) -> None:
        self.package = package
        self.imports: dict[str, str] = {}
        for node in ast.walk(tree):
            if isinstance(node, ast.Import):
                for alias in node.names:
                    bound = alias.asname or alias.name.partition(".")[0]
                    self.imports[bound] = alias.name if alias.asname else bound
            elif isinstance(node, ast.ImportFrom) and node.module:
                for alias in node.names:
                    bound = alias.asname or alias.name
                    self.imports[bound] = f"{node.module}.{alias.name}"

    def foreign_in(self, node: ast.AST) -> Iterator[str]:
        match node:
            case ast.Import(names=names):
                yield from self._imported(alias.name for alias in names)
            case ast.ImportFrom(module=str(module), names=names, level=0):
                yield from self._imported(f"{module}.{alias.name}" for alias in names)
            case ast.Attribute(attr=name) if is_private(name):
                origin = self._origin(node)
                known = not origin and name in self.package.attributes
                if not known and not {name, origin} & PUBLIC:
                    yield origin or name
            case ast.Call(func=ast.Name(id=function) | ast.Attribute(attr=function)):
                if function in BY_NAME:
                    words = [a.value for a in node.args if isinstance(a, ast.Constant)]
                    private = {str(word) for word in words if is_private(word)}
                    yield from private - self.package.attributes
            case ast.ClassDef():
                # A mixin of ours meets the other bases of the class that takes it.
                theirs = set().union(*map(private_names, self._foreign_bases(node)))
                family = chain.from_iterable(map(ast.walk, self._family(node)))
                used = set(chain.from_iterable(map(_used, family)))
                yield from sorted(used & theirs)

    def _imported(self, names: Iterable[str]) -> Iterator[str]:
        for name in names:
            parts = name.split(".")
            prefixes = {".".join(parts[:n]) for n in range(1, len(parts) + 1)}
            if self._is_foreign(name) and any(map(is_private, parts)):
                if not prefixes & PUBLIC:
                    yield name

    def _is_foreign(self, name: str) -> bool:
        return name.partition(".")[0] not in self.package.own

    def _origin(self, node: ast.expr) -> str:
        """The full name of something that was imported from others; else nothing."""
        match node:
            case ast.Name(id=name):
                full = self.imports.get(name, "")
                return full if full and self._is_foreign(full) else ""
            case ast.Attribute(value=value, attr=name):
                before = self._origin(value)
                return f"{before}.{name}" if before else ""
        return ""

    def _family(self, node: ast.ClassDef) -> Iterator[ast.ClassDef]:
        """A class and its bases of ours."""
        yield node
        for base in map(_unsubscripted, node.bases):
            ours = self.package.classes.get(_last_name(base))
            if ours and ours is not node and not self._origin(base):
                yield from self._family(ours)

    def _foreign_bases(self, node: ast.ClassDef) -> Iterator[type]:
        for ours in self._family(node):
            for base in map(_unsubscripted, ours.bases):
                if origin := self._origin(base):
                    yield from _classes(origin)
                elif isinstance(found := getattr(builtins, _last_name(base), 0), type):
                    yield found


def _unsubscripted(base: ast.expr) -> ast.expr:
    return base.value if isinstance(base, ast.Subscript) else base


def _last_name(base: ast.expr) -> str:
    return str(getattr(base, "attr", getattr(base, "id", "")))


def is_private(name: object) -> bool:
    """Whether a name is its package's own: no protocol of Python's or of an enum's."""
    return isinstance(name, str) and name.startswith("_") and not name.endswith("_")


def _defined(node: ast.AST) -> Iterator[str]:
    """Private names that a node gives to a class or an object of its own."""
    match node:
        case ast.ClassDef(body=body):
            for each in body:
                match each:
                    case ast.FunctionDef(name=name) | ast.AsyncFunctionDef(name=name):
                        yield from filter(is_private, [name])
                    case ast.Assign(targets=targets):
                        names = [t.id for t in targets if isinstance(t, ast.Name)]
                        yield from filter(is_private, names)
                        yield from filter(is_private, _slots(names, each.value))
                    case ast.AnnAssign(target=ast.Name(id=name)):
                        yield from filter(is_private, [name])
        case ast.Attribute(ast.Name(id="self" | "cls"), attr=name, ctx=ast.Store()):
            yield from filter(is_private, [name])


def _used(node: ast.AST) -> Iterator[str]:
    """What a class defines, and what its methods ask of themselves."""
    yield from _defined(node)
    match node:
        case ast.Attribute(ast.Name(id="self" | "cls"), attr=name):
            yield name


def _slots(names: list[str], value: ast.expr) -> list[str]:
    if names != ["__slots__"]:
        return []
    found: str | Iterable[str] = ast.literal_eval(value)
    return [found] if isinstance(found, str) else list(found)


def _classes(name: str) -> Iterator[type]:
    """The class of a full name, if it is one."""
    module, _, attribute = name.rpartition(".")
    found: Any = getattr(import_module(module), attribute, None) if module else None
    if isinstance(found, type):
        yield found


@cache
def private_names(base: type) -> frozenset[str]:
    """What a class and those above it call their own, on objects too."""
    found: set[str] = set()
    for each in base.__mro__[:-1]:
        found.update(filter(is_private, vars(each)))
        try:
            found.update(re.findall(r"\bself\.(_\w*[^\W_])\b", inspect.getsource(each)))
        except (OSError, TypeError):  # written in C
            continue
    return frozenset(filter(is_private, found))


def read(folder: Path, *patterns: str) -> dict[str, str]:
    """Text of files, by their names from the folder."""
    files = sorted(file for pattern in patterns for file in folder.glob(pattern))
    return {str(file.relative_to(folder)): file.read_text() for file in files}
