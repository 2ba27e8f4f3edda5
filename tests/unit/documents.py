"""The project's Markdown, taken apart: what it says is there, and is not prose."""

import ast
import re
from collections.abc import Iterator
from functools import cache
from pathlib import Path

from kit.rename import project_files
from kit.tree import Tree
from local.apps import ROOT

FENCE = re.compile(r"^ *```(\w*)\n(.*?)^ *```$", re.MULTILINE | re.DOTALL)


@cache
def tracked() -> list[str]:
    """The project's files, also those that git is yet to be told of."""
    return list(project_files(Tree(ROOT)))


def documents() -> list[Path]:
    """Every Markdown file, but no templates of one."""
    names = [name for name in tracked() if name.endswith(".md")]
    return [ROOT / name for name in names if "template" not in name]


def blocks(document: Path, language: str) -> list[str]:
    """The fenced blocks in one language."""
    return [
        text for name, text in FENCE.findall(document.read_text()) if name == language
    ]


def prose(document: Path) -> str:
    """The text without its fenced blocks."""
    return FENCE.sub("", document.read_text())


def links(document: Path) -> Iterator[str]:
    """The targets of links and pictures, within the project."""
    for target in re.findall(r"\]\(([^)\s]+)\)", prose(document)):
        if not re.match(r"[a-z]+:", target):
            yield target


def pages_linked(document: Path) -> Iterator[Path]:
    """The files that it leads to; a folder is its README."""
    for link in links(document):
        target = (document.parent / link.partition("#")[0]).resolve()
        yield target / "README.md" if target.is_dir() else target


def anchors(document: Path) -> set[str]:
    """The names of its headings, as GitHub makes them."""
    found: set[str] = set()
    for heading in re.findall(r"^#+ (.+)$", prose(document), re.MULTILINE):
        text = re.sub(r"\[([^]]*)\]\([^)]*\)", r"\1", heading).strip().lower()
        name = re.sub(r"[^\w\- ]", "", text).replace(" ", "-")
        while name in found:
            name += "-1"
        found.add(name)
    return found


def code(document: Path) -> list[str]:
    """What stands in backticks in a line."""
    return re.findall(r"`([^`\n]+)`", prose(document))


def commands(document: Path) -> list[str]:
    """Lines of shell blocks, and what stands in backticks."""
    lines = [
        line.strip().removeprefix("$ ")
        for language in ("bash", "console", "sh", "")
        for block in blocks(document, language)
        for line in block.splitlines()
    ]
    return [*lines, *code(document)]


def shown(file: Path) -> list[str]:
    """What stands in backticks in a script, or in the messages of a module."""
    text = file.read_text()
    if file.suffix == ".py":
        nodes = list(ast.walk(ast.parse(text)))
        docstrings = [node.value for node in nodes if isinstance(node, ast.Expr)]
        messages = [node for node in nodes if isinstance(node, ast.Constant)]
        text = "\n".join(str(m.value) for m in messages if m not in docstrings)
    return re.findall(r"`([^`\n]+)`", text)


def programs(command: str) -> Iterator[str]:
    """The program of each part of a shell command that has further words."""
    for part in re.split(r"&&|\|\||[;|]", re.sub(r"'[^']*'|\"[^\"]*\"", "x", command)):
        words = part.split()
        while words and re.match(r"[A-Z_]+=", words[0]):
            words.pop(0)
        if len(words) > 1:
            yield words[0]
