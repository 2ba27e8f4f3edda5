"""Which parts of a developer's environment reach tests and checks."""

import os

import pytest

from local.apps import ROOT
from local.bootstrap import COMMANDS
from local.isolation import isolated

HOSTILE = {
    "DATABASE_URL": "postgresql://nobody@127.0.0.1:1/none",
    "RABBITMQ_HOST": "127.0.0.9",
    "OTEL_EXPORTER_OTLP_ENDPOINT": "http://127.0.0.1:1",
    "ENVIRONMENT": "production",
    "CELERY_TASK_TIME_LIMIT_SECONDS": "1",
    "NGINX_RATE": "1r/m",
    "PYTEST_ADDOPTS": "--collect-only",
    "MYPYPATH": "/nowhere",
    "PGSSLMODE": "verify-full",
    "PYTHONWARNINGS": "error",
    "TZ": "Asia/Kathmandu",
}


def test_unknown_variables_are_dropped() -> None:
    assert set(isolated(HOSTILE)) == set(isolated({}))


def test_variables_of_the_machine_are_kept() -> None:
    kept = {"PATH": "/bin", "CI": "true", "DOCKER_HOST": "unix:///x", "UPDATE_DOCS": ""}
    assert kept.items() <= isolated(kept).items()


def test_no_env_file_is_read_and_the_language_is_fixed() -> None:
    found = isolated({"ENV_FILE": ".env.mine", "LC_ALL": "tr_TR.UTF-8"})
    assert (found["ENV_FILE"], found["LC_ALL"]) == (os.devnull, "C.UTF-8")


def test_only_folders_of_the_project_stay_importable() -> None:
    path = os.pathsep.join(["/elsewhere", str(ROOT / "backend"), "", str(ROOT)])
    kept = os.pathsep.join([str(ROOT / "backend"), str(ROOT)])
    assert isolated({"PYTHONPATH": path})["PYTHONPATH"] == kept
    assert "PYTHONPATH" not in isolated({"PYTHONPATH": "/elsewhere"})


def test_isolating_twice_changes_nothing() -> None:
    """`python3 -m local` restarts until there is nothing left to remove."""
    once = isolated({**os.environ, **HOSTILE})
    assert isolated(once) == once


def test_pytest_isolates_itself(pytestconfig: pytest.Config) -> None:
    assert pytestconfig.pluginmanager.has_plugin("local.isolated")
    assert isolated(os.environ).items() <= os.environ.items()


def test_every_command_that_tests_or_checks_is_isolated() -> None:
    # Not tests, or on the internet, or the developer's own stack.
    apart = {"install-dev", "format", "lock", "audit", "debug"}
    tools = {name for name, command in COMMANDS.items() if command.tools}
    assert {n for n, command in COMMANDS.items() if command.isolated} == tools - apart
