"""Keeps what the documents say about services true: the table of README.md."""

import re

from kit.service import folder, registered
from kit.tree import Tree

README = "README.md"
BEGIN, END = "<!-- services -->\n", "<!-- /services -->\n"
HEAD = "| service | queue | endpoint |\n| --- | --- | --- |\n"
NONE = "There is no service yet: `make new-service NAME=pricing` adds one.\n"


def update(tree: Tree) -> None:
    """Rewrite the table, if the document has a place for it."""
    if not tree.exists(README):
        return
    text = tree.read(README)
    place = re.compile(f"{BEGIN}.*{END}", re.DOTALL)
    tree.write(README, place.sub(lambda _: f"{BEGIN}{_table(tree)}{END}", text))


def _table(tree: Tree) -> str:
    rows = "".join(_row(tree, *each) for each in registered(tree).items())
    return HEAD + rows if rows else NONE


def _row(tree: Tree, name: str, queue: str) -> str:
    document = f"{folder(tree, name)}/README.md"
    title = tree.read(document).partition("\n")[0].removeprefix("# ")
    address = f"/api/v1/{name.replace('_', '-')}/process"
    return f"| [{title}]({document}) | `{queue}` | `{address}` |\n"
