"""Installs pinned packages that one command alone needs, beside those of the kit."""

import subprocess
import sys
from pathlib import Path

from local.process import ProcessFailed


def install_extra(requirements: Path, name: str) -> None:
    """Install the packages of the file that are missing. Raises ProcessFailed."""
    stamp, wanted = Path(sys.prefix) / f".installed-{name}", requirements.read_text()
    if stamp.exists() and stamp.read_text() == wanted:
        return
    command = [sys.executable, "-m", "pip", "install", "--quiet", "--require-hashes"]
    command += ["--disable-pip-version-check", "--no-input", "-r", str(requirements)]
    result = subprocess.run(
        command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
    )
    if result.returncode:
        raise ProcessFailed(f"pip could not install {requirements}:\n{result.stdout}")
    stamp.write_text(wanted)
