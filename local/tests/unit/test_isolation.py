"""Which parts of a developer's environment reach commands, tests and checks."""

import os
import shlex
import shutil
import subprocess
import sys
import urllib.request

import pytest

from local.apps import ROOT
from local.bootstrap import COMMANDS
from local.isolation import cleaned, isolated

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


# What breaks Python or pip before a line of ours runs, or catches our own requests.
ODD = {
    "PYTHONHOME": "/nowhere",
    "PYTHONSAFEPATH": "1",
    "PYTHONPATH": "/elsewhere",
    "PYTHONWARNINGS": "error",
    "PYTHONOPTIMIZE": "2",
    "PYTHONIOENCODING": "latin-1",
    "PYTHONUTF8": "0",
    "PIP_TARGET": "/elsewhere",
    "PIP_USER": "1",
    "PIP_NO_BINARY": ":all:",
    "PIP_DRY_RUN": "1",
}


def test_no_command_sees_what_breaks_python_or_pip() -> None:
    found = cleaned({**ODD, "PIP_INDEX_URL": "https://mirror", "DATABASE_URL": "mine"})
    assert not (set(found) & set(ODD)) - {"PYTHONUTF8"}
    assert found["PYTHONUTF8"] == "1"
    assert (found["PIP_INDEX_URL"], found["DATABASE_URL"]) == ("https://mirror", "mine")


@pytest.mark.parametrize("clean", [cleaned, isolated])
@pytest.mark.parametrize(
    "user", [{}, {"NO_PROXY": "corp"}, {"no_proxy": "corp, ::1"}, {"NO_PROXY": "*"}]
)
@pytest.mark.parametrize("host", ["127.0.0.1:8000", "localhost:8000"])
def test_a_proxy_gets_no_requests_to_this_machine(
    clean: object, user: dict[str, str], host: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert callable(clean)
    user = {**user, "http_proxy": "http://proxy:3128"}
    for name, value in clean(user).items():
        monkeypatch.setenv(name, value)
    assert urllib.request.proxy_bypass(host)
    assert not urllib.request.proxy_bypass("example.org") or "*" in user.values()


def test_names_of_the_user_stay_beyond_the_proxy() -> None:
    found = cleaned({"NO_PROXY": "corp", "no_proxy": "lan"})
    assert found["NO_PROXY"] == found["no_proxy"] == "lan,corp,127.0.0.1,localhost,::1"


def test_cleaning_twice_changes_nothing() -> None:
    once = cleaned({**os.environ, **ODD})
    assert cleaned(once) == once


@pytest.mark.skipif(not shutil.which("make"), reason="no make")
def test_make_starts_python_in_an_odd_environment() -> None:
    """Also without HOME, and in the locale C."""
    said = subprocess.run(
        ["make", "-s", f"PYTHON={shlex.quote(sys.executable)}", "new-service", "NAME="],
        cwd=ROOT,
        env={"PATH": os.environ["PATH"], "LC_ALL": "C", **ODD},
        capture_output=True,
        text=True,
    )
    assert "Traceback" not in said.stderr and "No module" not in said.stderr
    assert "name" in said.stderr.lower(), said


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


def test_what_debugs_or_speeds_up_python_and_names_pips_servers_is_kept() -> None:
    kept = dict.fromkeys(
        (
            *("PYTHONASYNCIODEBUG", "PYTHONBREAKPOINT", "PYTHONDEVMODE"),
            *("PYTHONDONTWRITEBYTECODE", "PYTHONFAULTHANDLER", "PYTHONMALLOC"),
            *("PYTHONPYCACHEPREFIX", "PYTHONTRACEMALLOC", "PYTHONUNBUFFERED"),
            *("PIP_INDEX_URL", "PIP_EXTRA_INDEX_URL", "PIP_FIND_LINKS", "PIP_NO_INDEX"),
            *("PIP_TRUSTED_HOST", "PIP_CERT", "PIP_CLIENT_CERT", "PIP_PROXY"),
            *("PIP_CONFIG_FILE", "PIP_KEYRING_PROVIDER", "PIP_CACHE_DIR"),
            *("PIP_NO_CACHE_DIR", "PIP_TIMEOUT", "PIP_DEFAULT_TIMEOUT", "PIP_RETRIES"),
        ),
        "mine",
    )
    assert kept.items() <= cleaned(kept).items()
