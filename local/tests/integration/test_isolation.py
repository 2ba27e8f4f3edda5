"""A part of the suite passes beside a hostile `.env`, variables, home and `.local`."""

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from kit.tests.copies import copy_project
from local import bootstrap

# They run parts of the suite in a copy.
pytestmark = [pytest.mark.kit, pytest.mark.timeout(900)]

# The tests to run; `kit/tests/unit/test_named_tests.py` checks that they exist.
UNIT = ("test_config", "test_settings", "takes_its_settings")
MIGRATION = "waits_for_another"

# Each of these, alone, makes tests below fail if they read it.
SETTINGS = {
    "ENVIRONMENT": "production",
    "LOG_FORMAT": "neither",
    "DATABASE_URL": "postgresql://nobody:no@127.0.0.1:1/none",
    "ASYNC_DATABASE_URL": "postgresql://nobody:no@127.0.0.1:1/none",
    "DB_TIMEOUT_SECONDS": "none",
    "RABBITMQ_HOST": "127.0.0.9",
    "RABBITMQ_PORT": "many",
    "RPC_BROKER_URL": "redis://127.0.0.1:1/0",
    "CELERY_BROKER_URL": "redis://127.0.0.1:1/0",
    "CELERY_TASK_TIME_LIMIT_SECONDS": "1",
    "CORS_ORIGINS": "no list",
    "QUEUE_NAME": "another",
    "DATA_QUEUE_NAME": "another",
    "OTEL_SDK_DISABLED": "neither",
    "OTEL_EXPORTER_OTLP_ENDPOINT": "http://127.0.0.1:1",
    "OTEL_TRACES_EXPORTER": "unknown",
}
VARIABLES = {
    **SETTINGS,
    "PYTEST_ADDOPTS": "--collect-only",
    "PYTHONWARNINGS": "error",
    "PGSSLMODE": "verify-full",
    "PGOPTIONS": "-c default_transaction_read_only=on",
    "HTTP_PROXY": "http://127.0.0.1:1",
    "http_proxy": "http://127.0.0.1:1",
    "LC_ALL": "C",
    "TZ": "Asia/Kathmandu",
}


@pytest.fixture
def hostile(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A copy of the project, on a machine where everything is set."""
    root = copy_project(tmp_path / "project")
    subprocess.run(["git", "init", "--quiet"], cwd=root, check=True)  # for its files
    lines = "".join(f"{name}={value}\n" for name, value in SETTINGS.items())
    for folder in (root, root / "backend", *root.glob("services/*/")):
        (folder / ".env").write_text(lines)
    stale = root / ".local/run"
    stale.mkdir(parents=True)
    (stale / "environment.json").write_text('{"DATABASE_URL": "postgresql://nobody@x"}')
    (root / ".local/test-1-dead").mkdir()
    modules = tmp_path / "modules"
    modules.mkdir()
    for name in ("yaml", "psutil", "pytest", "alembic"):
        (modules / f"{name}.py").write_text("raise SystemExit('the wrong module')\n")
    home = tmp_path / "home"
    for place in (".hadolint.yaml", ".config/hadolint.yaml"):
        (home / place).parent.mkdir(parents=True, exist_ok=True)
        (home / place).write_text("failure-threshold: none\noverride: wrong\n")
    (home / ".pgpass").write_text("*:*:*:*:wrong\n")
    (home / ".pgpass").chmod(0o600)
    _lend_venv(root, monkeypatch)
    for name, value in VARIABLES.items():
        monkeypatch.setenv(name, value)
    monkeypatch.setenv("HOME", str(home))
    monkeypatch.setenv("PYTHONPATH", str(modules))
    return root


def _lend_venv(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Give the copy our packages, as if they were installed into it."""
    venv = root / ".venv"
    (venv / "bin").mkdir(parents=True)
    (venv / "lib").symlink_to(bootstrap.VENV / "lib")
    shutil.copy(bootstrap.VENV / "pyvenv.cfg", venv)
    for program in (bootstrap.VENV / "bin").iterdir():
        (venv / "bin" / program.name).symlink_to(program)
    (venv / "bin/pip").unlink()
    (venv / "bin/pip").write_text(f"#!{venv}/bin/python\n")
    with monkeypatch.context() as patch:
        patch.setattr(bootstrap, "ROOT", root)
        patch.setattr(bootstrap, "VENV", venv)
        files = bootstrap.requirement_files(development=True)
        (venv / ".installed-dev").write_text(bootstrap.fingerprint(files))


def run(folder: Path, *words: str, **env: str) -> str:
    """Run a command that must pass; returns its output."""
    result = subprocess.run(
        [sys.executable, *words],
        cwd=folder,
        env={**os.environ, **env},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )
    assert result.returncode == 0, result.stdout
    return result.stdout


def test_the_suite_is_isolated(hostile: Path) -> None:
    said = run(hostile, "-m", "local", "unit", "-q", "-k", " or ".join(UNIT))
    ran = re.findall(r"== tests (\w+) unit\n[^=]*?\d+ passed, \d+ deselected", said)
    assert {*ran} >= {"root", "local", "backend", "chassis"}, said

    said = run(hostile, "-m", "local", "integration", "-q", "-k", MIGRATION)
    assert "1 passed" in said
    assert not (hostile / ".local/test-1-dead").exists()


def test_pytest_alone_is_isolated(hostile: Path) -> None:
    """Editors run pytest like this. Variables that Python itself reads have already
    acted."""
    path = os.pathsep.join([str(hostile), str(hostile / "backend")])
    environment = {"PYTHONPATH": path, "PYTEST_ADDOPTS": "", "PYTHONWARNINGS": ""}
    words = ("tests/unit/test_config.py", "tests/unit/test_api.py", "-q")
    said = run(hostile / "backend", "-m", "pytest", *words, **environment)
    assert " passed" in said
