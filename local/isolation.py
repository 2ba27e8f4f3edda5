"""The environment of every command, and the stricter one of tests and checks.

No command sees variables that change how Python starts or where pip installs. Tests and
checks see only the variables listed here, and no `.env`. Standard library only, like
`bootstrap.py`.
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
    "PYTHONPATH",
    # Options that `make` and CI pass on.
    *("UPDATE_DOCS", "SCREENSHOT", "E2E_BASE_URL", "SCHEMA_EXAMPLES"),
    "RABBITMQ_SERVER",
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
}

# Of Python's own variables, these change neither what is imported nor what a warning
# does.
_KEPT_OF_PYTHON = {
    *("PYTHONASYNCIODEBUG", "PYTHONBREAKPOINT", "PYTHONDEVMODE", "PYTHONFAULTHANDLER"),
    *("PYTHONDONTWRITEBYTECODE", "PYTHONPYCACHEPREFIX", "PYTHONTRACEMALLOC"),
    *("PYTHONMALLOC", "PYTHONUNBUFFERED", "PYTHONUTF8"),
}
# Where pip gets packages from. Others, such as PIP_TARGET or PIP_USER, would have it
# install elsewhere, or nothing.
_KEPT_OF_PIP = {
    *("PIP_INDEX_URL", "PIP_EXTRA_INDEX_URL", "PIP_FIND_LINKS", "PIP_NO_INDEX"),
    *("PIP_TRUSTED_HOST", "PIP_CERT", "PIP_CLIENT_CERT", "PIP_PROXY"),
    *("PIP_CONFIG_FILE", "PIP_KEYRING_PROVIDER", "PIP_CACHE_DIR", "PIP_NO_CACHE_DIR"),
    *("PIP_TIMEOUT", "PIP_DEFAULT_TIMEOUT", "PIP_RETRIES"),
}
_LOOPBACK = ("127.0.0.1", "localhost", "::1")


def cleaned(environment: Mapping[str, str]) -> dict[str, str]:
    """The user's environment, as far as every command can live with it.

    PYTHONPATH keeps only folders of this project. A proxy never gets requests to this
    machine. Files are UTF-8 in every locale.
    """
    kept = {
        name: value
        for name, value in environment.items()
        if not name.startswith(("PYTHON", "PIP_"))
        or name in _KEPT_OF_PYTHON | _KEPT_OF_PIP
    }
    paths = filter(_is_ours, environment.get("PYTHONPATH", "").split(os.pathsep))
    if path := os.pathsep.join(paths):
        kept["PYTHONPATH"] = path
    return {**kept, **_without_proxy(kept), "PYTHONUTF8": "1"}


def _without_proxy(environment: Mapping[str, str]) -> dict[str, str]:
    """NO_PROXY in both spellings: libraries differ in which one they read."""
    lower, upper = environment.get("no_proxy", ""), environment.get("NO_PROXY", "")
    named = [word.strip() for word in f"{lower},{upper}".split(",") if word.strip()]
    # `*` means every host, and only when it stands alone.
    hosts = "*" if "*" in named else ",".join(dict.fromkeys([*named, *_LOOPBACK]))
    return {"NO_PROXY": hosts, "no_proxy": hosts}


def isolated(environment: Mapping[str, str]) -> dict[str, str]:
    """The environment of tests and checks."""
    kept = {
        name: value
        for name, value in environment.items()
        if (name in KEPT or name.startswith(KEPT_PREFIXES)) and name not in DROPPED
    }
    return {**cleaned(kept), **FIXED}


def isolate() -> None:
    """Isolate this process."""
    environment = isolated(os.environ)
    for name in set(os.environ) - set(environment):
        del os.environ[name]
    os.environ.update(environment)


def _is_ours(folder: str) -> bool:
    return bool(folder) and Path(folder).resolve().is_relative_to(ROOT)
