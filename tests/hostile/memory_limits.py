"""Memory limits like those of containers: control groups (Linux, versions 1 and 2)."""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path
from uuid import uuid4

import psutil

GROUPS = Path("/sys/fs/cgroup")
MEGABYTE = 1024 * 1024
# The folder of the groups, and the file of the limit: version 1, version 2.
VERSIONS = (
    (GROUPS / "memory", "memory.limit_in_bytes"),
    (GROUPS, "memory.max"),
)


@contextmanager
def limited(
    processes: Mapping[str, set[int]], most: Mapping[str, float]
) -> Iterator[bool]:
    """Make the kernel kill processes of each kind that exceed their megabytes. A group
    only counts memory that a process allocates after it joins, so the current memory is
    subtracted from the limit. Yields False if this user may not create groups: then
    there is no limit.

    A group counts what its processes allocate once they are in it, so what they have
    already is taken off. Yields False where this user may not make groups: then nothing
    is limited.
    """
    made: list[Path] = []
    try:
        try:
            for kind, megabytes in most.items():
                if kind in processes:
                    made.append(_make(kind))
                    _limit(made[-1], processes[kind], megabytes)
        except OSError:
            yield False
        else:
            yield True
    finally:
        for group in made:
            for pid in (group / "cgroup.procs").read_text().split():
                _move(int(pid), group.parent)
            group.rmdir()


def _make(kind: str) -> Path:
    parent, _ = _version()
    group = parent / f"hostile-{kind.lower()}-{uuid4().hex[:8]}"
    group.mkdir()
    return group


def _version() -> tuple[Path, str]:
    for parent, file in VERSIONS:
        if parent.is_dir() and (parent / "cgroup.procs").exists():
            return parent, file
    raise OSError("no control groups")


def _limit(group: Path, pids: set[int], megabytes: float) -> None:
    resident = sum(psutil.Process(pid).memory_info().rss for pid in pids)
    limit = int(megabytes * MEGABYTE) - resident
    (group / _version()[1]).write_text(str(limit))
    for pid in pids:
        _move(pid, group)


def _move(pid: int, group: Path) -> None:
    with suppress(ProcessLookupError):
        (group / "cgroup.procs").write_text(str(pid))
