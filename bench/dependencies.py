"""Installs the peers' packages beside those of the kit."""

from pathlib import Path

from local.extras import install_extra

REQUIREMENTS = Path(__file__).with_name("requirements.txt")


def install() -> None:
    """Install the pinned packages that are missing. Raises ProcessFailed."""
    install_extra(REQUIREMENTS, "bench")
