"""The parts of `make test`."""

import pytest

from local import commands, suite
from local.apps import ROOT


def test_the_long_parts_are_parts() -> None:
    """A renamed part would start late."""
    assert {*suite.LONG} <= {part.name for part in suite.all_tests([])}


def test_every_test_of_the_project_is_in_a_part() -> None:
    run = [(part.folder / part.arguments[2]).resolve() for part in suite.all_tests([])]
    for kind in ("unit", "integration", "e2e"):
        for file in ROOT.glob(f"**/tests/{kind}/**/test_*.py"):
            place = file.relative_to(ROOT)
            # Templates and the changes of the kit's own stories are no tests yet.
            if place.parts[0].startswith(".") or {"templates", "two_days"} & {
                *place.parts
            }:
                continue
            assert any(file.is_relative_to(folder) for folder in run), place


KINDS = {
    "unit": "tests root unit",
    "integration": "tests root integration",
    "e2e": "tests root e2e",
    "kit": "generators",
    "upgrade": "rolling upgrade",
    "compose": "compose",
    "chaos": "under fire",
    "hostile": "hostile clients",
    "mutate": "faults",
    "check": "mypy",
}


@pytest.mark.parametrize("command", KINDS)
def test_a_command_runs_what_it_is_called_for(
    monkeypatch: pytest.MonkeyPatch, command: str
) -> None:
    ran: list[str] = []

    def report(parts: list[suite.Part], **_: object) -> int:
        ran.extend(part.name for part in parts)
        return 0

    monkeypatch.setattr(suite, "_report", report)
    monkeypatch.setattr(suite, "install_missing", lambda *_, **__: None)
    monkeypatch.setattr(suite, "lacks_demo", lambda _: False)
    assert commands.run(command, []) == 0
    assert KINDS[command] in ran
