"""deploy/components/backup/backup.sh keeps the newest backups, and the WAL of all that
it keeps."""

import os
import subprocess
from pathlib import Path

import pytest

from local.apps import ROOT

SCRIPT = ROOT / "deploy/components/backup/backup.sh"
KEPT = 2

# PostgreSQL's tools: a backup begins in the WAL file that is named after its number.
TOOLS = {
    "date": """
number=$(($(cat "$TOOLS/moment" 2>/dev/null || echo 0) + 1))
echo $number >"$TOOLS/moment"
printf '20261127T0304%02dZ\\n' $number""",
    "pg_basebackup": """
for word in "$@"; do case $word in --pgdata=*) folder=${word#*=} ;; esac; done
number=$(($(cat "$TOOLS/backups" 2>/dev/null || echo 0) + 1))
echo $number >"$TOOLS/backups"
mkdir "$folder" || exit
echo "START WAL LOCATION: 0/2 (file wal-$number)" >"$folder/backup_label\"""",
    "pg_archivecleanup": 'echo "$2" >>"$TOOLS/cleaned"',
    "pg_receivewal": "",
    "psql": "",
}


@pytest.fixture
def tools(tmp_path: Path) -> Path:
    folder = tmp_path / "tools"
    folder.mkdir()
    for name, code in TOOLS.items():
        (folder / name).write_text(f"#!/bin/sh\n{code}\n")
        (folder / name).chmod(0o755)
    return folder


def back_up(
    tools: Path, command: str = "base", **more: str
) -> subprocess.CompletedProcess[str]:
    env = {
        "PATH": f"{tools}:{os.environ['PATH']}",
        "TOOLS": str(tools),
        "BACKUPS": str(tools.parent),
        "SERVER": "",
        "KEEP": str(KEPT),
        "VERIFY": "true",
        **more,
    }
    return subprocess.run(
        ["sh", str(SCRIPT), command], env=env, capture_output=True, text=True
    )


def kept(tools: Path) -> list[str]:
    """The first WAL file of each backup that is there, oldest first."""
    labels = sorted(tools.parent.glob("*Z/base/*Z/backup_label"))
    return [each.read_text().split("file ")[1].strip(" )\n") for each in labels]


def test_old_backups_go_with_the_wal_that_only_they_need(tools: Path) -> None:
    for number in range(1, 5):
        done = back_up(tools)
        assert done.returncode == 0, done.stderr
        oldest = max(1, number - KEPT + 1)
        assert kept(tools) == [f"wal-{each}" for each in range(oldest, number + 1)]
        for folder in tools.parent.glob("**/*Z"):
            assert folder.stat().st_mode & 0o77 == 0, "all data of everybody"
        # Cleaned is what comes before this one.
        assert (tools / "cleaned").read_text().split()[-1] == f"wal-{oldest}"


def test_seven_are_kept_unless_somebody_says_more(tools: Path) -> None:
    """As docs/BACKUP.md says."""
    for _ in range(8):
        assert back_up(tools, KEEP="").returncode == 0
    assert len(kept(tools)) == 7


def test_a_copy_that_is_damaged_takes_the_place_of_none(tools: Path) -> None:
    for _ in range(KEPT):
        assert back_up(tools).returncode == 0
    before = kept(tools)
    assert back_up(tools, VERIFY="false").returncode != 0
    assert kept(tools) == before


def test_what_an_interrupted_backup_left_hinders_none(tools: Path) -> None:
    assert back_up(tools, VERIFY="false").returncode != 0
    assert list(tools.parent.glob("*Z/base/partial/backup_label"))
    done = back_up(tools)
    assert done.returncode == 0, done.stderr
    assert kept(tools) == ["wal-2"]


def test_wal_waits_for_the_first_base_backup(tools: Path) -> None:
    """It is of use with one alone. Then it is received into the newest history."""
    (tools / "pg_receivewal").write_text('#!/bin/sh\necho "$*" >>"$TOOLS/received"\n')
    (tools / "sleep").write_text(
        '#!/bin/sh\necho waited >>"$TOOLS/waits"\n'
        'mkdir -p "$BACKUPS/20261127T030401Z" "$BACKUPS/20261127T030402Z"\n'
    )
    (tools / "sleep").chmod(0o755)
    done = back_up(tools, "wal")
    assert done.returncode == 0, done.stderr
    assert (tools / "waits").read_text() == "waited\n"
    made, received = (tools / "received").read_text().splitlines()
    assert "--create-slot --if-not-exists" in made
    assert f"--directory={tools.parent}/20261127T030402Z/wal " in received
    assert (tools.parent / "20261127T030402Z/wal").is_dir()


def test_wal_so_far_ends_where_the_server_was(tools: Path) -> None:
    (tools.parent / "20261127T030401Z").mkdir()
    (tools / "pg_receivewal").write_text('#!/bin/sh\necho "$*" >>"$TOOLS/received"\n')
    (tools / "psql").write_text(
        '#!/bin/sh\ncase "$*" in *pg_current_wal_flush_lsn*) echo 0/3 ;;\n'
        '*pg_create_restore_point*) echo point >>"$TOOLS/received" ;; esac\n'
    )
    done = back_up(tools, "wal-so-far")
    assert done.returncode == 0, done.stderr
    made, point, received = (tools / "received").read_text().splitlines()
    assert "--create-slot --if-not-exists" in made and point == "point"
    assert received.endswith(" --synchronous --no-loop --endpos=0/3")
    assert f"--directory={tools.parent}/20261127T030401Z/wal " in received
