"""docs/OWN-EVENTS.md without running it; `e2e/test_own_events.py` runs it."""

import ast
from pathlib import Path

from kit.commands import ROOT
from kit.tests.copies import python
from kit.tests.e2e.tutorial import Code, steps
from kit.tests.team import in_the_kit

TEXT = (ROOT / "docs" / "OWN-EVENTS.md").read_text()


@in_the_kit
def test_its_code_fits_what_the_generator_makes(project: Path) -> None:
    python(project, "-m", "kit", "new-resource", "invoice")
    codes = [step for step in steps(TEXT) if isinstance(step, Code)]
    assert len(codes) == 5
    for step in codes:
        step.apply(project)
        ast.parse((project / step.path).read_text())
