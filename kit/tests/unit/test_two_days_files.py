"""The files of `e2e/two_days` still fit what the kit generates. This takes seconds, the
full test minutes."""

from pathlib import Path

from kit.tests.e2e.runs import kit
from kit.tests.team import SNIPPETS, in_the_kit, write

# What the team generates before it writes the files of a step.
GENERATED = {
    "pricing": [("rename", "acme-orders"), ("new-service", "pricing")],
    "order": [("new-resource", "order")],
    "tasks": [("new-task", "expire-orders"), ("new-task", "price-order")],
    "calling": [],
    "settings": [],
    "edges": [],
}


@in_the_kit
def test_the_files_of_every_step_fit(project: Path) -> None:
    assert set(GENERATED) == {folder.name for folder in SNIPPETS.iterdir()}
    for step, commands in GENERATED.items():
        for words in commands:
            kit(project, *words)
        write(project, step)
