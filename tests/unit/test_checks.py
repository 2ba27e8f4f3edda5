"""What `make check` and `make test` promise to run is run, and refuses faults."""

import os
import shutil
import subprocess
import sys
import warnings
from pathlib import Path

import pytest
import yaml

from local import suite
from local.apps import ROOT
from local.bootstrap import COMMANDS

PARTS = {part.name: part for part in suite._checks()}
FAULTS = {
    "black": "x = {  'a' : 1 }\n",
    "isort": "import sys\nimport os\n\nprint(os, sys)\n",
    "flake8": "import os\n",
    "bandit": "eval(input())\n",
}
# The layers as folders of modules, and what none of them may import.
LAYERS = (
    *("application", "worker", "relay", "event_log", "smoke", "resources"),
    *("api", "tasks", "services", "repositories", "models", "infrastructure", "core"),
)
UPWARD = [
    *(("services", "app.api"), ("services", "app.repositories")),
    *(("repositories", "app.services"), ("models", "app.repositories")),
    *(("core", "app.models"), ("core", "app.infrastructure"), ("tasks", "app.worker")),
    *(("api", "app.tasks"), ("api", "app.resources"), ("resources", "app.relay")),
]
VENDORS = [
    *("kombu", "amqp", "redis", "celery"),
    *("sqlalchemy", "fastapi", "starlette", "httpx2"),
]


def run(part: str, folder: Path) -> subprocess.CompletedProcess[str]:
    """A check, in another folder with the project's settings."""
    for name in ("pyproject.toml", ".flake8"):
        shutil.copy(ROOT / name, folder)
    return subprocess.run(
        [sys.executable, *PARTS[part].arguments],
        cwd=folder,
        env={**os.environ, "PYTHONPATH": str(folder)},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )


def test_every_check_that_is_named_is_run(monkeypatch: pytest.MonkeyPatch) -> None:
    named = COMMANDS["check"].help.removeprefix("run ").split(", ")
    assert sorted(named) == sorted(PARTS)
    taken: list[suite.Part] = []
    monkeypatch.setattr(suite, "install_missing", lambda *_, **__: None)
    monkeypatch.setattr(suite, "_report", taken.extend)
    suite.everything([])
    wanted = {*PARTS, *(part.name for part in suite.all_tests([]))}
    assert {part.name for part in taken} == wanted


def test_one_part_that_fails_fails_all(capfd: pytest.CaptureFixture[str]) -> None:
    parts = [suite.Part(code, ["-c", f"raise SystemExit({code})"]) for code in "012"]
    assert suite._report(parts[:1]) == 0
    assert suite._report(parts[:2]) == suite._report(parts[1:], at_once=False) == 1


@pytest.mark.parametrize("part", FAULTS)
def test_a_check_refuses_a_fault_and_mends_nothing(part: str, tmp_path: Path) -> None:
    file = tmp_path / "backend/bad.py"
    file.parent.mkdir()
    file.write_text(FAULTS[part])
    result = run(part, tmp_path)
    assert result.returncode == 1 and "bad.py" in result.stdout
    assert file.read_text() == FAULTS[part]


def test_no_module_imports_what_is_above_it(tmp_path: Path) -> None:
    """The contracts, over modules that break each of them."""
    faults: dict[str, list[str]] = {}
    for layer, imported in [*UPWARD, *(("services", each) for each in VENDORS)]:
        faults.setdefault(layer, []).append(imported)
    for folder in ("app", "chassis", *(f"app/{layer}" for layer in LAYERS)):
        (tmp_path / folder).mkdir()
        (tmp_path / folder / "__init__.py").touch()
    assert "4 kept, 0 broken" in run("import-linter", tmp_path).stdout
    for layer, names in faults.items():
        text = "".join(f"import {name}\n" for name in names)
        (tmp_path / f"app/{layer}/__init__.py").write_text(text)
    (tmp_path / "chassis/__init__.py").write_text("import app.core\n")
    (tmp_path / "app/strange.py").touch()
    result = run("import-linter", tmp_path)
    assert result.returncode == 1 and "0 kept, 4 broken" in result.stdout
    for name in ("- app.strange\n", "chassis -> app.core"):
        assert name in result.stdout
    for layer, names in faults.items():
        for name in names:
            is_allowed = (layer, name) == ("services", "app.repositories")
            assert is_allowed or f"app.{layer} -> {name} " in result.stdout


def test_what_pytest_would_let_pass_fails() -> None:
    """A marker with a slip, and errors that nobody awaits."""
    with pytest.raises(pytest.fail.Exception, match="promiss"):
        getattr(pytest.mark, "promiss")
    for kind in (
        pytest.PytestUnraisableExceptionWarning,
        pytest.PytestUnhandledThreadExceptionWarning,
    ):
        with pytest.raises(kind):
            warnings.warn(kind("lost"), stacklevel=1)


def test_a_commit_is_checked_as_everywhere() -> None:
    (repository,) = yaml.safe_load((ROOT / ".pre-commit-config.yaml").read_text())[
        "repos"
    ]
    assert repository["repo"] == "local"  # of .venv: nothing is downloaded
    entries = {hook["entry"] for hook in repository["hooks"]}
    python = ".venv/bin/python -m local"
    assert entries == {f"{python} check", f"{python}.prose"}
    for hook in repository["hooks"]:
        assert hook["language"] == "system" and hook["pass_filenames"] is False


def test_every_dockerfile_is_looked_at() -> None:
    """Those of git: the tools keep copies in folders of their own."""
    listed = subprocess.run(
        ["git", "ls-files", "*Dockerfile"], cwd=ROOT, capture_output=True, text=True
    )
    files = {ROOT / file for file in listed.stdout.split()}
    taken = {ROOT / word for word in PARTS["hadolint"].arguments}
    assert {file for file in files if file.exists()} <= taken
