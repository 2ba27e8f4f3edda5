"""The project's root: a reader sees on one screen what there is."""

from tests.unit.documents import tracked

MOST = 25


def test_the_root_is_small() -> None:
    """What no tool or habit looks for here has a folder of its own."""
    entries = {name.split("/")[0] for name in tracked()}
    seen = sorted(name for name in entries if not name.startswith("."))
    assert len(seen) <= MOST, seen
