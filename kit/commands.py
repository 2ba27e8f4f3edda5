"""The commands of `python3 -m local`; each prints what it did, or why it did not."""

import sys
from collections.abc import Callable
from pathlib import Path

from kit import demo, documents, release, rename, resource, service, task, update
from kit.edits import Edit
from kit.names import Name
from kit.tree import KitError, Tree

ROOT = Path(__file__).resolve().parent.parent

NEW_SERVICE = """
{title} service: put your code in services/{snake}/app/{snake}_service.py.

  make run     # if it runs already, stop it first: it looks for services when it starts
  curl -s http://127.0.0.1:8081/api/v1/{kebab}/process \\
       -H 'Content-Type: application/json' \\
       -d '{{"payload": {{"text": "hello ", "times": 2}}}}'

`make remove-service NAME={kebab}` removes it."""

NEW_RESOURCE = """
{title}: /api/v1/{plural}. Its columns are in backend/app/models/{snake}.py and in the
migration. Add a column to the table, to what a client may set and to what it sees, with
their examples. `make run` migrates the local database, `make migrate` a running one.
`make remove-resource NAME={kebab}` removes it."""

NEW_TASK = """
{title}: put your code in backend/app/tasks/{snake}.py. Worker and beat load it when
they start. Beat sends it every hour; change the schedule in that file.
`make remove-task NAME={kebab}` removes it."""

REMOVED_RESOURCE = """
A database that still has its table is now ahead of the code. Run
`make downgrade TO={revision}` before the removal, or empty the local one with
`make clean`."""


def run(command: str, arguments: list[str], root: Path = ROOT) -> int:
    """Run one command; returns its exit code."""
    words = [word for word in arguments if word and not word.startswith("-")]
    options = [word for word in arguments if word.startswith("-")]
    tree = Tree(root)
    try:
        known = ["--events"] if command == "new-service" else ["--force"]
        if unknown := [option for option in options if option not in known]:
            raise KitError(f"Unknown option {unknown[0]}")
        if command == "remove-demo":
            print(demo.remove(tree))
            return 0
        if command in ("update", "release"):
            print(_with_versions(command, words, root))
            return 0
        name = Name.parse(words[0] if len(words) == 1 else "")
        print(_COMMANDS[command](tree, name, bool(options)))
    except KitError as error:
        print(error, file=sys.stderr)
        return 1
    return 0


def _with_versions(command: str, words: list[str], root: Path) -> str:
    if command == "update":
        return update.update(root, *(words[:2] or [""]))
    return release.release(root, words[0] if len(words) == 1 else "")


def _new_service(tree: Tree, name: Name, events: bool) -> str:
    edits = service.edits(tree, name, ["events"] if events else [])
    service.check(tree, name, edits)
    _do(tree, edits)
    return NEW_SERVICE.format(title=name.title, snake=name.snake, kebab=name.kebab)


def _remove_service(tree: Tree, name: Name, force: bool) -> str:
    folder = f"services/{name.snake}"
    queue = service.registered(tree).get(name.snake)
    if queue is None:
        raise KitError(f"There is no service named {name.kebab}")
    edits = service.edits(tree, name, service.options_of(tree, name))
    done = _undo(tree, edits, force, folder)
    return done + service.told_callers(tree, name.snake, queue)


def _new_resource(tree: Tree, name: Name, _: bool) -> str:
    _do(tree, resource.new(tree, name))
    return NEW_RESOURCE.format(
        title=name.plural.title,
        plural=name.plural.kebab,
        snake=name.snake,
        kebab=name.kebab,
    )


def _remove_resource(tree: Tree, name: Name, force: bool) -> str:
    edits, revision = resource.existing(tree, name)
    return _undo(tree, edits, force) + REMOVED_RESOURCE.format(revision=revision)


def _new_task(tree: Tree, name: Name, _: bool) -> str:
    _do(tree, task.new(tree, name))
    return NEW_TASK.format(title=name.title, snake=name.snake, kebab=name.kebab)


def _remove_task(tree: Tree, name: Name, force: bool) -> str:
    return _undo(tree, task.existing(tree, name), force)


def _rename(tree: Tree, name: Name, _: bool) -> str:
    return rename.rename(tree, name)


def _do(tree: Tree, edits: list[Edit]) -> None:
    for edit in edits:
        edit.do(tree)
    documents.update(tree)
    changes = tree.changes
    tree.apply()
    for path in sorted(changes):
        print(path)


def _undo(tree: Tree, edits: list[Edit], force: bool, folder: str = "") -> str:
    for edit in reversed(edits):
        edit.undo(tree, force)
    removed = [path for path, text in tree.changes.items() if text is None]
    there = tree.files(folder) if folder else ()
    more = [path for path in there if path not in removed]
    if more and not force:
        raise KitError(
            f"{more[0]} was added to the service; ARGS=--force removes it too"
        )
    for path in more:
        tree.delete(path)
    documents.update(tree)
    tree.apply()
    return f"Removed {len(removed) + len(more)} files."


_COMMANDS: dict[str, Callable[[Tree, Name, bool], str]] = {
    "new-service": _new_service,
    "remove-service": _remove_service,
    "new-resource": _new_resource,
    "remove-resource": _remove_resource,
    "new-task": _new_task,
    "remove-task": _remove_task,
    "rename": _rename,
}
