"""A new task: what `make new-task` adds. The worker finds it by its place."""

from kit.edits import Create, Edit
from kit.names import Name, from_specimen
from kit.rendering import check_names, render
from kit.tree import KitError, Tree

TEMPLATES = "kit/templates/task"


def new(tree: Tree, name: Name) -> list[Edit]:
    """Everything that makes the task. Raises KitError, also if something else has the
    name."""
    made = _edits(tree, name)
    check_names(tree, made)
    return made


def existing(tree: Tree, name: Name) -> list[Edit]:
    """What made the task that is there. Raises KitError."""
    made = _edits(tree, name)
    for edit in made:  # all of them: the kit's own modules have no such test
        if isinstance(edit, Create) and not tree.exists(edit.path):
            raise KitError(f"{edit.path} is missing: is there such a task?")
    return made


def _edits(tree: Tree, name: Name) -> list[Edit]:
    return render(tree, TEMPLATES, from_specimen(name))
