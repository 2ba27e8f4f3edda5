"""deploy/compose/rolling-restart.sh takes one API after the other out, with a Docker
that only notes what it is asked."""

import os
import subprocess
from pathlib import Path

import pytest

from local.apps import ROOT

SCRIPT = ROOT / "deploy/compose/rolling-restart.sh"
DOCKER = """#!/bin/bash
case "$1 $3" in
compose*) exit ;; # whether it has a plugin
inspect*) echo "shop_gateway 10.0.0.${2#api}"; exit ;;
"exec sh") shift 4 ;;
"exec python")
    # Not ready at once.
    [ -e "$FOLDER/asked-$2" ] || { touch "$FOLDER/asked-$2"; exit 1; }
    [ -z "$HANGS" ] || exit 1
    set -- ready "$2" ;;
rm*) echo "$(sed "s/$2/api9/" "$FOLDER/running")" >"$FOLDER/running" ;;
esac
echo "$@" >>"$FOLDER/log"
"""
COMPOSE = """#!/bin/bash
case "$*" in
*"ps -q nginx") echo nginx ;;
*"ps -q api") cat "$FOLDER/running" ;;
*) echo "up $(sed "s/.*--scale //" <<<"$*")" >>"$FOLDER/log"; [ -z "$FAILS" ] ;;
esac
"""


def restart(
    folder: Path, *words: str, script: Path = SCRIPT, **env: str
) -> tuple[int, list[str]]:
    """Its exit code, and what it did."""
    for name, text in (("docker", DOCKER), ("compose", COMPOSE)):
        (folder / name).write_text(text)
        (folder / name).chmod(0o755)
    (folder / "running").write_text("api1\napi2\n")
    given = {"PATH": f"{folder}:{os.environ['PATH']}", "COMPOSE": "compose -f x"}
    result = subprocess.run(
        [str(script), *words],
        env={**given, "FOLDER": str(folder), "FAILS": "", "HANGS": "", **env},
        capture_output=True,
        text=True,
    )
    return result.returncode, (folder / "log").read_text().splitlines()


@pytest.mark.promise(
    "docs/CONTAINERS.md",
    "It takes the API out of the gateway, waits for its requests, restarts it, and "
    "waits until it is ready.",
)
def test_each_serves_again_before_the_next_stops(tmp_path: Path) -> None:
    code, did = restart(tmp_path)
    assert code == 0
    assert did == [
        step
        for n in (1, 2)
        for step in (
            *(f"leave 10.0.0.{n}", f"restart api{n}", f"ready api{n}"),
            f"join 10.0.0.{n}",
        )
    ]


def test_a_new_container_takes_the_place_of_the_old_one(tmp_path: Path) -> None:
    code, did = restart(tmp_path, "--recreate", FAILS="1")
    assert code != 0  # the second API still serves
    assert did == ["leave 10.0.0.1", "stop api1", "rm api1", "up api=2 api"]


def test_an_api_that_never_becomes_ready_is_the_last_that_stops(
    tmp_path: Path,
) -> None:
    text = SCRIPT.read_text()
    assert "READY=60" in text
    hasty = tmp_path / "deploy/compose" / SCRIPT.name
    hasty.parent.mkdir(parents=True)
    hasty.write_text(text.replace("READY=60", "READY=0"))
    hasty.chmod(0o755)
    code, did = restart(tmp_path, HANGS="1", script=hasty)
    assert code != 0
    assert did == ["leave 10.0.0.1", "restart api1"]  # it gets no requests
