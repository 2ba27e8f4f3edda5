"""The parts of `make test`."""

from local import suite


def test_the_long_parts_are_parts() -> None:
    """A renamed part would start late."""
    assert {*suite.LONG} <= {part.name for part in suite.all_tests([])}
