"""The chassis uses no private names of other packages."""

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

SOURCE = Path(__file__).parents[2] / "src" / "chassis"
OWNERS = {"self", "cls", "super"}
#: Documented by Python, despite its name.
PUBLIC = {"os._exit"}


def private_names(tree: ast.AST) -> Iterator[str]:
    """The attributes and modules of others with a leading underscore."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Attribute) and is_private(node.attr):
            owner = ast.unparse(node.value)
            if owner not in OWNERS and f"{owner}.{node.attr}" not in PUBLIC:
                yield f"{owner}.{node.attr}"
        elif isinstance(node, ast.ImportFrom):
            path = [*(node.module or "").split("."), *(a.name for a in node.names)]
            yield from filter(is_private, path)
        elif isinstance(node, ast.Import):
            for name in node.names:
                yield from filter(is_private, name.name.split("."))


def is_private(name: str) -> bool:
    return name.startswith("_") and not name.startswith("__")


@pytest.mark.parametrize("file", sorted(SOURCE.rglob("*.py")), ids=lambda f: f.stem)
def test_no_private_name_of_another_package(file: Path) -> None:
    assert list(private_names(ast.parse(file.read_text()))) == []


def test_a_private_name_would_be_found() -> None:
    code = "import a._b\nfrom c._d import e\nx._f = 1\nself._own.g._h()"
    assert sorted(private_names(ast.parse(code))) == [
        "_b",
        "_d",
        "self._own.g._h",
        "x._f",
    ]
