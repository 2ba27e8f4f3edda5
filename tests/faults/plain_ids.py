"""A pytest plugin for mutants: leaves out tests whose ids contain a backslash.

mutmut runs pytest several times in one process. pytest escapes such an id anew each
time, finds no test of the first name, and fails: every mutant would count as found.
"""

import pytest


def pytest_collection_modifyitems(
    config: pytest.Config, items: list[pytest.Item]
) -> None:
    """Called by pytest."""
    kept = [item for item in items if "\\" not in item.nodeid]
    config.hook.pytest_deselected(items=[item for item in items if item not in kept])
    items[:] = kept
