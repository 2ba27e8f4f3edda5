"""Attacks of `make hostile` for a second each: long enough to reach their full load."""

import pytest

from local.stack import Stack
from tests.e2e.client import wait_for
from tests.hostile.attacks import attacks, bodies
from tests.hostile.trial import attempt, what_fails

CLIENTS, SECONDS = 24, 1.0

# The body that takes the most memory comes alone, too; `make hostile` sends each alone.
TOGETHER = {
    **{name: [name] for name in attacks() if name not in bodies()},
    "many values": ["many values"],
    "every body": [*bodies()],
}


@pytest.mark.parametrize("name", TOGETHER)
def test_an_attack(stack: Stack, name: str) -> None:
    """Tests run in parallel, so `make hostile` checks the times of answers instead."""
    trial = attempt(stack, name, TOGETHER[name], CLIENTS, SECONDS)
    slow = ("/health/live took", "the friend waited")
    assert [f for f in trial.findings if not f.startswith(slow)] == []
    # The API finishes what it accepted from a client that has gone.
    wait_for(lambda: not what_fails(stack), "everything works again")
