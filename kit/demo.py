"""The data service, a demo of the kit: what `make remove-demo` removes.

The machinery stays: it calls a service of your own, accepts work for it and watches it.
"""

import re
from posixpath import dirname, join, normpath

from kit import documents, service
from kit.names import Name, from_specimen
from kit.rendering import entries
from kit.tree import KitError, Tree

NAME = Name(("data",))
FOLDER = "services/dataservice"
WORDS = {"services/specimen": FOLDER, "specimen/specimen": "dataservice/dataservice"}

# The demo's own files, and the tests that are about it or need one of its operations.
OWN = (
    FOLDER,
    "backend/app/api/v1/endpoints/data.py",
    "tests/e2e/data",
    "tests/integration/data",
)

# Passages in documents about the demo only, or that show the kit with it.
PASSAGE = re.compile(r"<!-- demo -->\n.*?<!-- /demo -->\n", re.DOTALL)

DONE = """Removed {files} files, and the data service's entries in others.

`make new-service NAME=pricing` adds your own service. Until then the API has no service
to call."""


def remove(tree: Tree) -> str:
    """Remove it; returns what was done, in words. Raises KitError."""
    queue = service.registered(tree).get(NAME.snake)
    if queue is None:
        raise KitError("The data service is already removed: nothing to do")
    own = [path for place in OWN for path in _files(tree, place)]
    for path in own:
        tree.delete(path)
    for edit in entries(tree, service.TEMPLATES, from_specimen(NAME, WORDS)):
        edit.undo(tree, force=True)
    for path in tree.files("."):
        if path.endswith(".md") and path not in own:
            tree.write(path, _without_demo(path, tree.read(path)))
    documents.update(tree)
    callers = service.told_callers(tree, NAME.snake, queue)
    tree.apply()
    return DONE.format(files=len(own)) + callers


def _files(tree: Tree, place: str) -> list[str]:
    return [place] if tree.exists(place) else list(tree.files(place))


def _without_demo(document: str, text: str) -> str:
    """Without passages about the demo, and without table rows that link to removed
    files."""
    lines = PASSAGE.sub("", text).splitlines(keepends=True)
    return "".join(line for line in lines if not _is_row_of_demo(document, line))


def _is_row_of_demo(document: str, line: str) -> bool:
    links = re.findall(r"\]\(([^)#\s]+)", line)
    places = [normpath(join(dirname(document), link)) for link in links]
    places += [normpath(code) for code in re.findall(r"`([^`]+)`", line)]
    return line.lstrip().startswith("|") and any(
        f"{place}/".startswith(f"{own}/") for place in places for own in OWN
    )
