"""Packages that only one command needs: they are installed when it runs first."""

import hashlib
import subprocess
import sys
from pathlib import Path

from local.process import ProcessFailed


def install_extras(requirements: Path) -> None:
    """Install pinned packages into `.venv`, unless they are there already. Raises
    ProcessFailed."""
    wanted = hashlib.sha256(requirements.read_bytes()).hexdigest()
    stamp = Path(sys.prefix) / f".installed-{requirements.parent.name}"
    if stamp.exists() and stamp.read_text() == wanted:
        return
    print(f"Installing {requirements.parent.name}'s packages ...", flush=True)
    command = [sys.executable, "-m", "pip", "install", "--quiet", "--require-hashes"]
    command += ["--disable-pip-version-check", "--no-input", "-r", str(requirements)]
    result = subprocess.run(
        command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
    )
    if result.returncode:
        raise ProcessFailed(f"pip could not install {requirements}:\n{result.stdout}")
    stamp.write_text(wanted)
