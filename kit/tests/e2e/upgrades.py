"""The commands of docs/UPGRADING.md, and a kit with another version."""

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

from kit import __version__
from kit.commands import ROOT
from kit.project import PROJECT
from kit.tests.copies import IDENTITY, copy_project
from kit.tree import SKIPPED

TEXT = (ROOT / "docs/UPGRADING.md").read_text()
CLONE, ZIP, NAME, UPDATE, SETTLE, TEMPLATES, MIGRATIONS, RELEASE = re.findall(
    r"```bash\n(.*?)```", TEXT, re.DOTALL
)
BEGIN, NEXT, LATER = __version__, "7.8.9", "7.9.0"
BACKOFF = "packages/chassis/src/chassis/rpc/backoff.py"
SWEEP = "backend/app/tasks/maintenance.py"
SERVICE_TEMPLATE = "kit/templates/service/services/specimen/README.md"

# `make`, without its installation step.
MAKE = f'make() {{ "{sys.executable}" -m kit "$1" "${{2#*=}}" "${{@:3}}"; }}'


def run(folder: Path, script: str) -> subprocess.CompletedProcess[str]:
    """Run some lines of the page with this test's versions."""
    script = script.replace("ADDRESS", str(folder.with_name("upstream")))
    script = script.replace("v0.1.0", f"v{BEGIN}").replace("v0.2.0", f"v{NEXT}")
    return subprocess.run(
        ["bash", "-e", "-o", "pipefail", "-c", f"{MAKE}\n{script}"],
        cwd=folder,
        env={**os.environ, **IDENTITY, "PYTHONPATH": ""},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )


def sh(folder: Path, script: str) -> str:
    result = run(folder, script)
    assert result.returncode == 0, result.stdout
    return result.stdout


def publish(folder: Path) -> None:
    """Publish the folder's content as this tree's version."""
    sh(folder, "git init -q -b main; git add -A; git commit -qm kit")
    sh(folder, f"git tag -a -m old v{BEGIN}")


def release(upstream: Path, version: str = NEXT) -> None:
    """Release this tree with a few more lines, which contain the kit's name."""
    for path in upstream.iterdir():
        if path.name not in SKIPPED:
            shutil.rmtree(path) if path.is_dir() else path.unlink()
    copy_project(upstream)
    # Black wants these two empty lines.
    append(upstream / BACKOFF, "\n# New in the kit.\n")
    append(upstream / SWEEP, "\n# Of the kit.\n")
    append(upstream / SERVICE_TEMPLATE, "New in the template.\n")
    (upstream / "NEWS").write_text(f"{PROJECT} {version}\n")
    changelog = upstream / "CHANGELOG.md"
    entry = f"## Unreleased\n\n* In {version}.\n"
    changelog.write_text(changelog.read_text().replace("## Unreleased\n", entry))
    sh(upstream, "git add -A; git commit -qm next")
    sh(upstream, RELEASE.splitlines()[0].replace("X.Y.Z", version))


def append(file: Path, line: str) -> None:
    file.write_text(f"{file.read_text()}\n{line}")


def begin(upstream: Path, way: str) -> Path:
    folder = upstream.with_name("acme-orders")
    if way == "zip":
        folder.mkdir()
        sh(upstream, f"git archive v{BEGIN} | tar --extract --directory {folder}")
    # The page's commands begin outside the folder.
    sh(upstream, f"cd ..\n{CLONE if way == 'clone' else ZIP}")
    return folder
