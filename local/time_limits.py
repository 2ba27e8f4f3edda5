"""Time limits of tests: one that hangs fails and says where, and the others go on.

Loaded by `addopts` in `pyproject.toml`, for every suite. pytest-timeout measures, and
fails a test with the stacks of all threads.
"""

import faulthandler
import os
import signal
from typing import Any

import pytest

# A test that hangs may hang again while it ends, such as in the `__exit__` of a pool
# whose thread waits. Then it is interrupted again, after so many seconds.
AGAIN = 10.0
# A fixture that tests share may start a whole system, which is not the work of the test
# that happens to be first: it has so many times the limit of a test.
SHARED = 4
# So long may the process wait for threads that tests have left.
LEFT_THREADS = 20.0

# Of the process; pytest captures what is written to `sys.stderr`.
ERRORS = os.dup(2)
SETTINGS = pytest.StashKey[Any]()
LIMIT = pytest.StashKey[float]()


@pytest.hookimpl(wrapper=True)
def pytest_timeout_set_timer(item: pytest.Item, settings: Any) -> Any:
    """Called by pytest-timeout; the timer goes on after its first end."""
    result = yield
    item.stash[SETTINGS] = settings
    item.config.stash[LIMIT] = settings.timeout or 0
    if signal.getitimer(signal.ITIMER_REAL)[0]:
        signal.setitimer(signal.ITIMER_REAL, settings.timeout, AGAIN)
    return result


@pytest.hookimpl(wrapper=True)
def pytest_fixture_setup(
    fixturedef: pytest.FixtureDef[Any], request: pytest.FixtureRequest
) -> Any:
    """Called by pytest; the time of the test goes on when the fixture is there."""
    left = signal.getitimer(signal.ITIMER_REAL)[0]
    if fixturedef.scope == "function" or not left:
        return (yield)
    limit = SHARED * request.config.stash[LIMIT]
    signal.setitimer(signal.ITIMER_REAL, limit, AGAIN)
    try:
        return (yield)
    finally:
        signal.setitimer(signal.ITIMER_REAL, left, AGAIN)


@pytest.hookimpl(wrapper=True, tryfirst=True)
def pytest_runtest_makereport(item: pytest.Item, call: pytest.CallInfo[None]) -> Any:
    """Called by pytest after each phase; no signal may interrupt pytest itself while it
    writes down a failure."""
    if call.excinfo is not None:
        item.config.hook.pytest_timeout_cancel_timer(item=item)
    return (yield)


@pytest.hookimpl(tryfirst=True)
def pytest_runtest_teardown(item: pytest.Item) -> None:
    """Called by pytest; the timer ends when a test fails, and fixtures may hang
    then."""
    settings = item.stash.get(SETTINGS, None)
    if settings is not None and not signal.getitimer(signal.ITIMER_REAL)[0]:
        item.config.hook.pytest_timeout_set_timer(item=item, settings=settings)


@pytest.hookimpl(trylast=True)
def pytest_unconfigure() -> None:
    """Called by pytest at its end; Python then waits for threads that are left."""
    faulthandler.dump_traceback_later(LEFT_THREADS, exit=True, file=ERRORS)
