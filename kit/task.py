"""A new task: what `make new-task` adds. The worker discovers it in its folder."""

from kit.edits import Create, Edit
from kit.names import Name, from_specimen
from kit.rendering import check_names, render
from kit.tree import KitError, Tree

TEMPLATES = "kit/templates/task"


def new(tree: Tree, name: Name) -> list[Edit]:
    """The edits that make the task. Raises KitError, also if the name is taken."""
    made = _edits(tree, name)
    check_names(tree, made)
    return made


def existing(tree: Tree, name: Name) -> list[Edit]:
    """The edits that made an existing task. Raises KitError."""
    made = _edits(tree, name)
    for edit in made:  # check all files: the kit's own tasks have no such test
        if isinstance(edit, Create) and not tree.exists(edit.path):
            raise KitError(f"{edit.path} does not exist: check the task's name")
    return made


def _edits(tree: Tree, name: Name) -> list[Edit]:
    return render(tree, TEMPLATES, from_specimen(name))
