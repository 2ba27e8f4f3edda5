"""Each attack of `make hostile` for a second: long enough to reach its full load."""

import pytest

from local.stack import Stack
from tests.hostile.attacks import attacks
from tests.hostile.trial import attempt

CLIENTS, SECONDS = 24, 1.0


@pytest.mark.parametrize("name", attacks())
def test_an_attack(stack: Stack, name: str) -> None:
    """Tests run in parallel, so `make hostile` checks the times of answers instead."""
    trial = attempt(stack, name, [name], CLIENTS, SECONDS)
    slow = ("/health/live took", "the friend waited")
    assert [f for f in trial.findings if not f.startswith(slow)] == []
