"""Installs the peers' packages beside those of the kit."""

import subprocess
import sys
from pathlib import Path

from local.process import ProcessFailed

REQUIREMENTS = Path(__file__).with_name("requirements.txt")
STAMP = Path(sys.prefix) / ".installed-bench"


def install() -> None:
    """Install the pinned packages that are missing. Raises ProcessFailed."""
    wanted = REQUIREMENTS.read_text()
    if STAMP.exists() and STAMP.read_text() == wanted:
        return
    command = [sys.executable, "-m", "pip", "install", "--quiet", "--require-hashes"]
    command += ["--disable-pip-version-check", "--no-input", "-r", str(REQUIREMENTS)]
    result = subprocess.run(
        command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
    )
    if result.returncode:
        raise ProcessFailed(f"pip could not install {REQUIREMENTS}:\n{result.stdout}")
    STAMP.write_text(wanted)
