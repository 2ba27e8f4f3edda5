"""The environment of tests and checks: the same whatever the developer has set.

Variables not listed here do not reach them, nor does a `.env`. Standard library only,
like `bootstrap.py`.
"""

import os
from collections.abc import Mapping
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent

KEPT = {
    # The machine and the terminal.
    *("PATH", "HOME", "USER", "LOGNAME", "SHELL", "TMPDIR", "LD_LIBRARY_PATH"),
    *("TERM", "COLUMNS", "LINES", "NO_COLOR", "FORCE_COLOR", "CI"),
    *("PYENV_ROOT", "PYENV_VERSION", "ASDF_DATA_DIR", "MISE_DATA_DIR"),
    # What apt needs to install a server.
    *("http_proxy", "https_proxy", "HTTP_PROXY", "HTTPS_PROXY"),
    # Options that `make` and CI pass on.
    *("UPDATE_DOCS", "SCREENSHOT", "E2E_BASE_URL", "SCHEMA_EXAMPLES"),
    # `make compose`.
    *("BUILD_NETWORK", "CA_CERTIFICATES", "PIP_INDEX_URL", "REVISION"),
    # Test runners of editors.
    *("TEST_RUN_PIPE", "RUN_TEST_IDS_PIPE"),
}
KEPT_PREFIXES = ("DOCKER_", "PYTEST_", "VSCODE_", "PYCHARM_", "PYDEVD_", "COVERAGE_")
DROPPED = {"PYTEST_ADDOPTS", "PYTEST_PLUGINS"}

FIXED = {
    "ENV_FILE": os.devnull,
    "LANG": "C.UTF-8",
    "LC_ALL": "C.UTF-8",
    "NETRC": os.devnull,
    "PGPASSFILE": os.devnull,
    "PGSERVICEFILE": os.devnull,
    "NO_PROXY": "127.0.0.1,localhost",
    "no_proxy": "127.0.0.1,localhost",
}


def isolated(environment: Mapping[str, str]) -> dict[str, str]:
    """The remaining environment; PYTHONPATH keeps only folders of this project."""
    kept = {
        name: value
        for name, value in environment.items()
        if (name in KEPT or name.startswith(KEPT_PREFIXES)) and name not in DROPPED
    }
    paths = filter(_is_ours, environment.get("PYTHONPATH", "").split(os.pathsep))
    if path := os.pathsep.join(paths):
        kept["PYTHONPATH"] = path
    return {**kept, **FIXED}


def isolate() -> None:
    """Isolate this process."""
    environment = isolated(os.environ)
    for name in set(os.environ) - set(environment):
        del os.environ[name]
    os.environ.update(environment)


def _is_ours(folder: str) -> bool:
    return bool(folder) and Path(folder).resolve().is_relative_to(ROOT)
