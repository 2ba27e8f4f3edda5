"""The files of `e2e/two_days` still fit what the kit generates. This takes seconds, the
full test minutes."""

import shutil
from pathlib import Path

from kit.tests.e2e.runs import kit
from kit.tests.team import SNIPPETS, in_the_kit, write

# What the team generates before it writes the files of a step; first it renames the
# project.
GENERATED = {
    "pricing": [("new-service", "pricing")],
    "order": [("new-resource", "order")],
    "tasks": [("new-task", "expire-orders"), ("new-task", "price-order")],
    "calling": [],
    "settings": [],
    "edges": [],
}


@in_the_kit
def test_the_files_of_every_step_fit(made_renamed: Path, tmp_path: Path) -> None:
    project = shutil.copytree(made_renamed, tmp_path / "project")
    assert set(GENERATED) == {folder.name for folder in SNIPPETS.iterdir()}
    for step, commands in GENERATED.items():
        for words in commands:
            kit(project, *words)
        write(project, step)
