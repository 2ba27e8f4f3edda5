"""The files of a project, and changes to them that are applied together or not at
all."""

import os
import shutil
from collections.abc import Iterator
from pathlib import Path

# Files that tools leave behind; .gitignore lists the same.
CACHES = {
    *("__pycache__", ".mypy_cache", ".pytest_cache", ".hypothesis"),
    ".import_linter_cache",
}
# Never part of the project.
SKIPPED = {".git", ".venv", ".local", *CACHES}


class KitError(Exception):
    """The command failed and changed nothing. The message is for people."""


class NotText(KitError):
    """The file is not text, but an image or the like."""


class Tree:
    """A project's folder with pending changes, which `apply` writes."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self._changes: dict[str, str | None] = {}

    def exists(self, path: str) -> bool:
        """Whether the file exists, or will exist."""
        if path in self._changes:
            return self._changes[path] is not None
        return (self.root / path).is_file()

    def read(self, path: str) -> str:
        """The current or pending text of the file. Raises KitError."""
        text = self._changes.get(path)
        if text is not None:
            return text
        if not self.exists(path):
            raise KitError(f"{path} is missing: was it moved or removed?")
        # Not read_text(): line ends must stay as they are.
        try:
            return (self.root / path).read_bytes().decode()
        except UnicodeDecodeError as error:
            raise NotText(
                f"{path} is not a text file: delete it or move it elsewhere"
            ) from error

    def write(self, path: str, text: str) -> None:
        """Change or add a file."""
        if not self.exists(path) or self.read(path) != text:
            self._changes[path] = text

    def delete(self, path: str) -> None:
        """Delete a file, and its folder if that is then empty."""
        self._changes[path] = None

    def files(self, folder: str) -> Iterator[str]:
        """The files on disk below a folder, in order."""
        found = []
        # Not rglob(), which would look through all of .venv.
        for place, folders, names in os.walk(self.root / folder):
            folders[:] = set(folders) - SKIPPED
            found += [f"{place}/{name}" for name in set(names) - SKIPPED]
        for path in sorted(found):
            if os.path.isfile(path):
                yield path.removeprefix(f"{self.root}/")

    @property
    def changes(self) -> dict[str, str | None]:
        """The pending texts by path; None for files to delete."""
        return dict(self._changes)

    def apply(self) -> None:
        """Write everything. If that fails, restore all files and raise KitError."""
        before: dict[Path, tuple[bytes, int] | None] = {}
        folders: list[Path] = []
        try:
            for name, text in self._changes.items():
                path = self.root / name
                before[path] = _state(path)
                if text is None:
                    path.unlink()
                    continue
                folders += _make_folders(path.parent)
                path.write_bytes(text.encode())
        except OSError as error:
            _restore(before, folders)
            raise KitError(f"Nothing was changed: {error}") from error
        for name, text in self._changes.items():
            if text is None:
                _remove_empty((self.root / name).parent, self.root)
        self._changes.clear()


def _state(path: Path) -> tuple[bytes, int] | None:
    return (path.read_bytes(), path.stat().st_mode & 0o777) if path.exists() else None


def _make_folders(folder: Path) -> list[Path]:
    missing = [each for each in (folder, *folder.parents) if not each.exists()]
    folder.mkdir(parents=True, exist_ok=True)
    return missing


def _restore(before: dict[Path, tuple[bytes, int] | None], folders: list[Path]) -> None:
    for path, state in before.items():
        if state is None:
            path.unlink(missing_ok=True)
        else:
            path.write_bytes(state[0])
            path.chmod(state[1])
    for folder in sorted(set(folders), reverse=True):
        folder.rmdir()


def _remove_empty(folder: Path, root: Path) -> None:
    """Remove the folder and its parents if they contain only caches."""
    while folder != root:
        if folder.is_dir():
            if any(entry.name not in CACHES for entry in folder.iterdir()):
                return
            shutil.rmtree(folder)
        folder = folder.parent
