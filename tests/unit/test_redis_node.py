"""deploy/ha/redis/node.sh writes the configuration of a Redis with Sentinels."""

import os
import subprocess
from pathlib import Path

import pytest

SCRIPT = Path(__file__).parents[2] / "deploy/ha/redis/node.sh"
SHARED = {"CLUSTER_PASSWORD": "among-us", "FIRST": "redis-1"}
WATCHED = {
    "MASTERS": "tasks=redis-1:6379 keys=redis-keys-1:6379",
    "REDIS_PASSWORD": "clients",
}


class Node:
    """A node whose image starts nothing, but prints what it would start."""

    def __init__(self, folder: Path, name: str) -> None:
        self.folder, self.name = folder, name
        entry = folder / "docker-entrypoint.sh"
        entry.write_text('#!/bin/sh\necho "$@"\n')
        entry.chmod(0o755)
        # Root gives the files to this user, who is nobody here.
        chown = folder / "chown"
        chown.write_text("#!/bin/sh\n")
        chown.chmod(0o755)

    def start(self, *words: str, **variables: str) -> list[str]:
        """Returns the lines of its configuration."""
        given = SHARED | WATCHED | {"NODE": self.name, "DATA": str(self.folder)}
        path = f"{self.folder}:{os.environ['PATH']}"
        result = subprocess.run(
            ["sh", str(SCRIPT), *words],
            env={**given, **variables, "PATH": path},
            capture_output=True,
            text=True,
        )
        assert result.returncode == 0 and not result.stderr, result.stderr
        self.started = result.stdout.split()
        file = self.folder / f"{words[0]}.conf"
        assert file.stat().st_mode & 0o777 == 0o600
        return file.read_text().splitlines()

    def learns(self, kind: str, *lines: str) -> None:
        """What Redis writes into its file while it runs."""
        with (self.folder / f"{kind}.conf").open("a") as file:
            file.write("".join(f"{line}\n" for line in lines))


def of(lines: list[str], word: str) -> list[str]:
    return [line for line in lines if line.startswith(word)]


def test_all_nodes_but_the_first_begin_as_replicas(tmp_path: Path) -> None:
    first, second = Node(tmp_path, "redis-1"), Node(tmp_path, "redis-2")
    assert of(first.start("server"), "replicaof") == []
    (tmp_path / "server.conf").unlink()
    assert of(second.start("server"), "replicaof") == ["replicaof redis-1 6379"]


@pytest.mark.parametrize("now", ["replicaof redis-2 6379", None])
def test_a_node_keeps_what_sentinels_made_of_it(
    tmp_path: Path, now: str | None
) -> None:
    """Also the second node: once it was the primary, it does not follow the first."""
    node = Node(tmp_path, "redis-2")
    before = node.start("server")
    learned = [
        *(line for line in before if not line.startswith("replicaof")),
        now or "",
    ]
    (tmp_path / "server.conf").write_text("\n".join(learned))
    assert of(node.start("server"), "replicaof") == ([now] if now else [])


def test_passwords_are_those_of_this_start(tmp_path: Path) -> None:
    node = Node(tmp_path, "redis-1")
    node.start("server")
    (tmp_path / "new").write_text("new")
    lines = node.start("server", CLUSTER_PASSWORD_FILE=str(tmp_path / "new"))
    assert "masterauth new" in lines and "among-us" not in "\n".join(lines)


def test_options_reach_redis(tmp_path: Path) -> None:
    node = Node(tmp_path, "redis-1")
    node.start("server", "--maxmemory", "64mb", "--user", "default", ">a b")
    file = str(tmp_path / "server.conf")
    assert (
        node.started
        == f"redis-server {file} --maxmemory 64mb --user default >a b".split()
    )
    node.start("sentinel")
    assert node.started[2:] == ["--sentinel"]


def test_a_sentinel_begins_with_the_first_nodes(tmp_path: Path) -> None:
    lines = Node(tmp_path, "sentinel-1").start("sentinel")
    monitors = ["tasks redis-1 6379 2", "keys redis-keys-1 6379 2"]
    assert of(lines, "sentinel monitor") == [f"sentinel monitor {m}" for m in monitors]
    for master in ("tasks", "keys"):
        assert f"sentinel auth-pass {master} among-us" in lines
        assert of(lines, f"sentinel down-after-milliseconds {master} ")
    (clients,) = of(lines, "user default")
    assert ">clients" in clients and "+@all" not in clients


def test_a_sentinel_keeps_what_it_learned(tmp_path: Path) -> None:
    node = Node(tmp_path, "sentinel-1")
    before = node.start("sentinel")
    (tmp_path / "sentinel.conf").write_text(
        "\n".join(line.replace("tasks redis-1", "tasks redis-3") for line in before)
        + "\n"
    )
    learned = [
        "sentinel myid 4f",
        "sentinel config-epoch tasks 2",
        "sentinel known-replica tasks redis-1 6379",
        "sentinel known-sentinel tasks sentinel-2 26379 5a",
        "sentinel current-epoch 2",
    ]
    node.learns("sentinel", *learned)
    lines = node.start("sentinel", CLUSTER_PASSWORD="new")
    assert set(learned) <= set(lines)
    assert "sentinel monitor tasks redis-3 6379 2" in lines
    assert len(of(lines, "sentinel monitor")) == 2
    assert len(of(lines, "sentinel auth-pass")) == 2 and "sentinel-pass new" in str(
        lines
    )


def test_no_task_goes_with_a_node_and_another_takes_over_soon() -> None:
    folder = SCRIPT.parent
    words = [line.split() for line in (folder / "redis.conf").read_text().splitlines()]
    given = {each[0]: each[1] for each in words if len(each) == 2}
    assert given["appendonly"] == "yes"
    # One that is cut off refuses what it would lose.
    assert given["min-replicas-to-write"] == "1"
    assert 1 <= int(given["min-replicas-max-lag"]) <= 10
    watched = (folder / "master.conf").read_text()
    milliseconds = {
        line.split()[1]: int(line.split()[3])
        for line in watched.splitlines()
        if not line.startswith("#")
    }
    assert 1000 <= milliseconds["down-after-milliseconds"] <= 5000
    assert milliseconds["failover-timeout"] <= 30_000
    # A link that is dead is made anew before its replica is taken for lost.
    assert int(given["repl-ping-replica-period"]) < int(given["repl-timeout"]) <= 10
    # Nodes have names, because pods get other addresses.
    sentinel = (folder / "sentinel.conf").read_text()
    for way in ("resolve", "announce"):
        assert f"\nsentinel {way}-hostnames yes\n" in sentinel
