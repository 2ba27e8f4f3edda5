"""The data service, which shows what the kit can do: what `make remove-demo` takes out.

The machinery stays: a service of your own is called, accepted for and watched by it.
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

# What is the demo's own, and the tests that are about it or need an operation of it.
OWN = (
    FOLDER,
    "backend/app/api/v1/endpoints/data.py",
    "tests/e2e/data",
    "tests/integration/data",
)

# In documents, what is about the demo alone, or shows the kit by it.
PASSAGE = re.compile(r"<!-- demo -->\n.*?<!-- /demo -->\n", re.DOTALL)

DONE = """Removed {files} files, and what named the data service in others.

`make new-service NAME=pricing` adds a service of your own; until then the API answers
everything but work."""


def remove(tree: Tree) -> str:
    """Take it out; what was done, in words. Raises KitError."""
    queue = service.registered(tree).get(NAME.snake)
    if queue is None:
        raise KitError("The data service is not there: nothing to do")
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
    """Without passages about the demo, and table rows that lead to what is gone."""
    lines = PASSAGE.sub("", text).splitlines(keepends=True)
    return "".join(line for line in lines if not _is_row_of_demo(document, line))


def _is_row_of_demo(document: str, line: str) -> bool:
    links = re.findall(r"\]\(([^)#\s]+)", line)
    places = [normpath(join(dirname(document), link)) for link in links]
    places += [normpath(code) for code in re.findall(r"`([^`]+)`", line)]
    return line.lstrip().startswith("|") and any(
        f"{place}/".startswith(f"{own}/") for place in places for own in OWN
    )
