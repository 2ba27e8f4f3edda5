"""`make mutate` breaks the right functions, and its own faults are still possible."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from kit.tests.copies import IDENTITY
from local.apps import ROOT
from local.registry import lacks_demo
from local.removed import left_out
from tests.faults import known
from tests.faults.changes import base, changed_functions, functions_below
from tests.faults.mutants import COMPONENTS, Outcome, function, patterns, settings
from tests.faults.planted import Fault, see, split, without_fault

BEFORE = """\
class Price:
    def net(self) -> int:
        return 1

    def gross(self) -> int:
        return 2


def discount() -> int:
    a = 3
    b = 4
    return a + b


async def tax() -> int:
    return 5
"""
TEST = "from shop import price\n\n\ndef test_it() -> None:\n    assert price() == 3\n"


def git(root: Path, *arguments: str) -> None:
    subprocess.run(["git", *arguments], cwd=root, env=IDENTITY, check=True)


@pytest.fixture
def shop(tmp_path: Path) -> Path:
    """A repository with one commit on `main`, and a branch."""
    git(tmp_path, "init", "--quiet", "--initial-branch=main")
    (tmp_path / "shop").mkdir()
    (tmp_path / "shop/price.py").write_text(BEFORE)
    (tmp_path / "shop/old.py").write_text("def old() -> None: ...\n")
    git(tmp_path, "add", "--all")
    git(tmp_path, "commit", "--quiet", "--message", "Begin")
    git(tmp_path, "switch", "--quiet", "--create", "work")
    return tmp_path


def test_it_breaks_what_changed_since_main(shop: Path) -> None:
    changed = BEFORE.replace("return 2", "return 3").replace("    a = 3\n", "")
    (shop / "shop/price.py").write_text(changed)
    git(shop, "rm", "--quiet", "shop/old.py")
    git(shop, "commit", "--quiet", "--all", "--message", "Change")
    (shop / "shop/new.py").write_text("import os\n\n\ndef new() -> None: ...\n")
    (shop / "other.py").write_text("def other() -> None: ...\n")
    assert changed_functions(shop, base(shop), ["shop"]) == {
        "shop/price.py": {"Price.gross", "discount"},
        "shop/new.py": {"new"},
    }


def test_what_is_not_committed_counts(shop: Path) -> None:
    (shop / "shop/price.py").write_text(BEFORE.replace("return 5", "return 6"))
    found = changed_functions(shop, base(shop), ["shop"])
    assert found == {"shop/price.py": {"tax"}}


def test_files_and_folders_are_taken_as_a_whole(shop: Path) -> None:
    whole = {"Price.net", "Price.gross", "discount", "tax"}
    assert functions_below(shop, ["shop/price.py"]) == {"shop/price.py": whole}
    assert {*functions_below(shop, ["shop"])} == {"shop/price.py", "shop/old.py"}


def test_names_are_those_of_mutmut() -> None:
    chassis = next(each for each in COMPONENTS if each.name == "chassis")
    functions = {
        "packages/chassis/src/chassis/rpc/backoff.py": {"Backoff.reset"},
        "packages/chassis/src/chassis/events/__init__.py": {"on"},
    }
    names = patterns(chassis, functions)
    assert names == [
        "chassis.rpc.backoff.xǁBackoffǁreset__mutmut_1",
        "chassis.rpc.backoff.xǁBackoffǁreset__mutmut_*",
        "chassis.events.x_on__mutmut_1",
        "chassis.events.x_on__mutmut_*",
    ]
    written = [function(name) for name in names[::2]]
    assert written == ["chassis.rpc.backoff.Backoff.reset", "chassis.events.on"]


def test_what_the_settings_name_exists() -> None:
    for each in COMPONENTS:
        assert all((ROOT / place).is_dir() for place in each.places)
        assert all(
            (ROOT / each.folder / test.partition("::")[0]).exists()
            for test in each.without
        )


def test_mutmut_gets_files_as_it_knows_them() -> None:
    calls = "packages/chassis/src/chassis/calls.py"
    assert "    src/chassis/calls.py\n" in settings(COMPONENTS[0], [calls])


def test_the_score_leaves_out_what_had_no_time() -> None:
    statuses = {
        "a.x_f__mutmut_1": "killed",
        "a.x_f__mutmut_2": "survived",
        "a.x_g__mutmut_1": "no tests",
        "a.x_g__mutmut_2": "timeout",
        "a.x_h__mutmut_1": "not checked",
    }
    outcome = Outcome("shop", statuses, "")
    assert outcome.unreached == {"a.g": 1}
    assert outcome.summary() == (
        "shop: unit tests found 2 of 4 mutants (50%); 1 survived, 1 are in functions "
        "that no unit test calls, 1 had no time"
    )


@pytest.mark.parametrize(
    ("new", "verdict"),
    [
        ("return 4", "found"),
        ("return 1 + 2", "unseen"),
        ("return (", "found"),
    ],
)
def test_a_fault_is_found_if_its_tests_fail(
    tmp_path: Path, new: str, verdict: str
) -> None:
    fault = shop_with_test(tmp_path, new, "tests/test_shop.py")
    assert see(tmp_path, fault) == verdict
    assert (tmp_path / "shop.py").read_text() == "def price() -> int:\n    return 3\n"


@pytest.mark.parametrize("test", ["tests/test_gone.py", "tests/test_shop.py::test_x"])
def test_a_test_that_does_not_run_sees_nothing(tmp_path: Path, test: str) -> None:
    fault = shop_with_test(tmp_path, "return 4", test)
    assert see(tmp_path, fault).startswith("not tested")


def test_tests_must_pass_without_the_fault(tmp_path: Path) -> None:
    fault = shop_with_test(tmp_path, "return 4", "tests/test_shop.py")
    assert without_fault(tmp_path, [fault]) == []
    before = (tmp_path / "shop.py").stat()
    (tmp_path / "shop.py").write_text("def price() -> int:\n    return 5\n")
    os.utime(tmp_path / "shop.py", ns=(before.st_atime_ns, before.st_mtime_ns))
    assert without_fault(tmp_path, [fault]) == [".: found"]


def shop_with_test(root: Path, new: str, test: str) -> Fault:
    (root / "tests").mkdir()
    (root / "tests/test_shop.py").write_text(TEST)
    (root / "shop.py").write_text("def price() -> int:\n    return 3\n")
    (root / ".venv").symlink_to(ROOT / ".venv")
    return Fault("another price", "shop.py", "return 3", new, (test,))


def test_tests_run_in_their_component() -> None:
    assert split("backend/tests/unit/test_x.py") == ("backend", "tests/unit/test_x.py")
    assert split("tests/unit/test_x.py::test_y") == (
        ".",
        "tests/unit/test_x.py::test_y",
    )
    chassis = "packages/chassis/tests/unit/test_x.py"
    assert split(chassis) == ("packages/chassis", "tests/unit/test_x.py")


def test_no_fault_of_ours_is_out_of_date() -> None:
    """Change or delete those whose text is gone: they would be found by no test."""
    faults = known.present(ROOT)
    if not left_out(ROOT) and not lacks_demo("The list of faults"):
        assert faults == [*known.FAULTS]
    for fault in faults:
        text = (ROOT / fault.file).read_text()
        assert fault.applied(text) != text
        for test in fault.tests:
            path, _, name = test.partition("::")
            name = name.partition("[")[0]
            assert f"def {name}" in (ROOT / path).read_text(), test
    names = [(fault.file, fault.name) for fault in faults]
    assert len({*names}) == len(names)


def test_ids_that_pytest_changes_are_left_out(tmp_path: Path) -> None:
    """Otherwise mutmut would take pytest's complaint for a test that failed."""
    (tmp_path / "test_ids.py").write_text(
        "import pytest\n\n\n@pytest.mark.parametrize('text', ['a', '\\\\x00', '::'])\n"
        "def test_it(text: str) -> None: ...\n"
    )
    command = [sys.executable, "-m", "pytest", "-q", "--collect-only", "-c", os.devnull]
    command += ["-p", "tests.faults.plain_ids", "--rootdir=.", "test_ids.py"]
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    found = subprocess.run(
        command, cwd=tmp_path, env=environment, capture_output=True, text=True
    ).stdout
    assert "test_it[a]" in found and "test_it[::]" in found
    assert "2/3 tests collected (1 deselected)" in found
