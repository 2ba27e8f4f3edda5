"""A test that hangs does not hang the suite."""

import subprocess
import sys
from pathlib import Path

import pytest

from local.apps import ROOT

pytestmark = pytest.mark.timeout(90)  # each starts pytest, and waits for its limits

SHORT = """
from local import time_limits

time_limits.AGAIN = time_limits.LEFT_THREADS = 0.5
"""

HANGS = """
import asyncio, signal, threading, time
from concurrent.futures import ThreadPoolExecutor

import pytest

def wait_elsewhere():
    time.sleep(600)

@pytest.fixture
def fixture_that_hangs():
    yield
    time.sleep(600)

{test}

def test_that_does_not():
    pass
"""

WAYS = """
def test_a_sleep():
    threading.Thread(target=wait_elsewhere, daemon=True).start()
    time.sleep(600)

def test_a_thread_of_a_pool_and_the_end_of_the_pool():
    with ThreadPoolExecutor() as pool:
        pool.submit(wait_elsewhere).result()

def test_a_finally():
    try:
        time.sleep(600)
    finally:
        time.sleep(600)

async def test_a_task_that_does_not_end():
    async def stubborn():
        while True:
            try:
                await asyncio.sleep(600)
            except asyncio.CancelledError:
                pass
    await asyncio.create_task(stubborn())

def test_a_fixture_after_a_failure(fixture_that_hangs):
    assert False
"""

SHARED = """
@pytest.fixture(scope="session")
def slow():
    time.sleep(1.5)

@pytest.fixture(scope="module")
def slower(slow):
    time.sleep(1.5)

@pytest.fixture(scope="module")
def one_that_hangs(slower):
    time.sleep(600)

def test_the_first(slower):
    pass

def test_a_sleep_after_it(one_that_hangs):
    pass

def test_that_hangs(slower):
    time.sleep(600)
"""

LEAVES_A_THREAD = """
def test_that_hangs():
    threading.Thread(target=wait_elsewhere).start()
    time.sleep(600)
"""

DEAF = """
def test_that_hangs():
    signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGALRM})
    threading.Thread(target=wait_elsewhere, daemon=True).start()
    time.sleep(600)
"""


def run(folder: Path, test: str, *options: str) -> str:
    """Pytest's output for that test and one more, with short limits."""
    file = folder / "test_hangs.py"
    file.write_text(HANGS.replace("{test}", test))
    (folder / "conftest.py").write_text(SHORT)
    command = [sys.executable, "-m", "pytest", "-c", str(ROOT / "pyproject.toml")]
    command += [
        "--rootdir",
        str(folder),
        "-p",
        "no:cacheprovider",
        "-o",
        "timeout=1",
        *options,
        str(file),
    ]
    result = subprocess.run(
        command,
        cwd=ROOT,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        timeout=60,
    )
    assert result.returncode
    return result.stdout


def test_each_fails_with_all_stacks_and_the_others_go_on(tmp_path: Path) -> None:
    said = run(tmp_path, WAYS)
    assert "5 failed, 1 passed" in said
    assert "ERROR at teardown of test_a_fixture_after_a_failure" in said
    assert said.count("Failed: Timeout") >= 5 and "in wait_elsewhere" in said


def test_a_fixture_that_tests_share_has_more_time(tmp_path: Path) -> None:
    """It starts what all tests use."""
    said = run(tmp_path, SHARED)
    assert "1 failed, 2 passed, 1 error" in said
    assert said.count("Failed: Timeout") >= 2


def test_a_thread_that_is_left_does_not_hold_the_end(tmp_path: Path) -> None:
    said = run(tmp_path, LEAVES_A_THREAD)
    summary, _, after = said.partition("1 failed, 1 passed")
    assert "Timeout" in summary and "in wait_elsewhere" in after


def test_one_that_hears_no_signal_ends_the_process_with_all_stacks(
    tmp_path: Path,
) -> None:
    said = run(tmp_path, DEAF, "-o", "faulthandler_timeout=2")
    assert "in test_that_hangs" in said and "in wait_elsewhere" in said
