"""What a declared release is checked against: the models of its tag."""

import io
import json
import os
import re
import subprocess
import sys
import tarfile
import tempfile
from collections.abc import Iterator
from pathlib import Path

from local.migrations.faults import DROPPED, REQUIRED, Fault

# Table, column, and whether each row gets a value.
Models = dict[str, dict[str, bool]]

READ_MODELS = """
import json
from sqlmodel import SQLModel
from app.models import import_all
import_all()
print(json.dumps({
    table.name: {
        column.name: not column.nullable
        or column.default is not None
        or column.server_default is not None
        for column in table.columns
    }
    for table in SQLModel.metadata.tables.values()
}))
"""


class Unreadable(Exception):
    """The models cannot be read; the message says why."""


class Releases:
    """The releases of a repository, and the models of each. Reads each only once."""

    def __init__(self, root: Path) -> None:
        self._root = root
        self._read: dict[str, Models | None] = {}

    @property
    def newest(self) -> str:
        """The version that pyproject.toml names: of the last release."""
        text = (self._root / "backend/pyproject.toml").read_text()
        return str(re.findall(r'^version = "(.+)"$', text, re.MULTILINE)[0])

    def objections(self, fault: Fault, version: object) -> Iterator[str]:
        """Why that release cannot be what makes the fault harmless."""
        if not isinstance(version, str) or not re.fullmatch(r"\d+\.\d+\.\d+", version):
            yield f"ready_since names the release {version!r}: write it as 1.6.0"
            return
        if _numbers(version) > _numbers(self.newest):
            yield (
                f"ready_since names {version}, but the newest release is "
                f"{self.newest}: the release that runs now is not ready"
            )
            return
        for name in ("this folder", f"v{version}"):
            models = self._models("" if name == "this folder" else name)
            if models is not None and (reason := _uses(models, fault)):
                yield f"{name} {reason}"

    def _models(self, tag: str) -> Models | None:
        """Those of a tag, or of the working tree; None if there is no such tag here."""
        if tag not in self._read:
            self._read[tag] = self._read_tag(tag) if tag else read_models(self._root)
        return self._read[tag]

    def _read_tag(self, tag: str) -> Models | None:
        command = ["git", "-C", str(self._root), "archive", f"refs/tags/{tag}"]
        archive = subprocess.run(
            [*command, "backend/app", "packages"], capture_output=True
        )
        if archive.returncode:
            return None
        with tempfile.TemporaryDirectory() as folder:
            with tarfile.open(fileobj=io.BytesIO(archive.stdout)) as files:
                files.extractall(folder, filter="data")
            return read_models(Path(folder))


def read_models(root: Path) -> Models:
    """The tables that a tree declares. Raises Unreadable."""
    paths = [root / "backend", *root.glob("packages/*/src")]
    result = subprocess.run(
        [sys.executable, "-c", READ_MODELS],
        cwd=root / "backend",
        env={**os.environ, "PYTHONPATH": os.pathsep.join(map(str, paths))},
        capture_output=True,
        text=True,
    )
    if result.returncode:
        raise Unreadable(result.stderr.strip().rpartition("\n")[2])
    models: Models = json.loads(result.stdout)
    return models


def _uses(models: Models, fault: Fault) -> str:
    """What these models have against it; nothing if they are ready."""
    table, _, column = fault.name.partition(".")
    columns = models.get(table)
    if fault.kind == DROPPED:
        if columns is not None and (not column or column in columns):
            return f"still has {fault.name} in backend/app/models"
    elif fault.kind == REQUIRED and columns is not None:
        if column not in columns:
            return f"has no {fault.name} in backend/app/models, so writes no value"
        if not columns[column]:
            return f"may leave {fault.name} without a value (backend/app/models)"
    return ""


def _numbers(version: str) -> tuple[int, ...]:
    return tuple(int(part) for part in version.split("."))
