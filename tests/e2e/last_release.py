"""The last release, installed beside this tree for tests of upgrades."""

import os
import re
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path

from local.apps import ROOT, App
from local.process import ProcessFailed
from local.servers.base import Command
from local.state import LOCAL


class Release:
    """A tag's files in `.local/releases/<tag>`, with a `.venv` of their own."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.backend = folder / "backend"
        self.python = folder / ".venv/bin/python"

    def alembic(self, env: Mapping[str, str], *arguments: str) -> None:
        """Run its migrations. Raises ProcessFailed."""
        run([str(self.python), "-m", "alembic", *arguments], self.backend, env)

    def of(self, app: App) -> "App":
        """The same process with this release's code."""
        return _Old(app, self)


class _Old(App):
    def __init__(self, app: App, release: Release) -> None:
        cwd = release.folder / app.cwd.relative_to(ROOT)
        super().__init__(
            app.name,
            app.state,
            app.arguments,
            cwd=cwd,
            env=app.env,
            probe=app.probe,
            port=app.port,
            options=app.options,
        )
        self._python = str(release.python)

    def command(self) -> Command:
        own = super().command()
        env = {key: value for key, value in own.env.items() if key != "PYTHONPATH"}
        return own._replace(argv=[self._python, *own.argv[1:]], env=env)


def last_release() -> Release | None:
    """Installs it, once; None if this clone has neither its tag nor its commit."""
    text = (ROOT / "backend/pyproject.toml").read_text()
    (version,) = re.findall(r'^version = "(.+)"$', text, re.MULTILINE)
    found = _git("rev-parse", "--verify", f"refs/tags/v{version}") or _git(
        "log", "-1", "--format=%H", f"--grep=^Release {re.escape(version)}$"
    )
    if not found:
        return None
    archive = _git("archive", found.decode().strip())
    release = Release(LOCAL / "releases" / f"v{version}")
    done = release.folder / ".installed"
    if not done.exists():
        release.folder.mkdir(parents=True, exist_ok=True)
        unpack = ["tar", "--extract", "--directory", str(release.folder)]
        subprocess.run(unpack, input=archive, check=True)
        system = str(Path(sys.base_prefix) / "bin" / "python3")
        run([system, "-m", "local", "setup"], release.folder, {})
        done.touch()
    return release


def _git(*words: str) -> bytes:
    """What git prints; nothing if it fails."""
    result = subprocess.run(["git", "-C", str(ROOT), *words], capture_output=True)
    return b"" if result.returncode else result.stdout


def run(command: list[str], folder: Path, env: Mapping[str, str]) -> None:
    """Run a command with nothing of this tree. Raises ProcessFailed."""
    clean = {key: value for key, value in os.environ.items() if key != "PYTHONPATH"}
    result = subprocess.run(
        command, cwd=folder, env={**clean, **env}, capture_output=True, text=True
    )
    if result.returncode:
        raise ProcessFailed(f"{command} failed:\n{result.stdout}{result.stderr}")
