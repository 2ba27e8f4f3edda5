"""PostgreSQL with Patroni, without either: who becomes the primary, and who gets in."""

import re

import yaml

from local.apps import ROOT

FOLDER = ROOT / "deploy/ha/patroni"
CONFIG = yaml.safe_load((FOLDER / "patroni.yml").read_text())
SHARED = CONFIG["bootstrap"]["dcs"]


def test_no_commit_is_answered_that_one_node_has_alone() -> None:
    assert SHARED["synchronous_mode"] == "quorum"
    assert SHARED["synchronous_mode_strict"] is True
    assert SHARED["maximum_lag_on_failover"] <= 16 << 20  # a file of WAL


def test_a_lease_outlives_two_failed_attempts_to_renew_it() -> None:
    """By Patroni's documentation; otherwise a primary would give up without need."""
    assert SHARED["ttl"] >= SHARED["loop_wait"] + 2 * SHARED["retry_timeout"]
    assert 20 <= SHARED["ttl"] <= 30  # it takes no less; so long nobody writes


def test_a_node_that_is_lost_is_left_before_its_lease_ends() -> None:
    """Otherwise commits wait for a replica that is gone, or a replica for a primary."""
    parameters = SHARED["postgresql"]["parameters"]
    for name in ("wal_sender_timeout", "wal_receiver_timeout", "tcp_user_timeout"):
        seconds = int(parameters[name].removesuffix("s"))
        assert 2 * SHARED["loop_wait"] < seconds < SHARED["ttl"], name


def test_only_the_container_itself_gets_in_without_a_password() -> None:
    for rule in CONFIG["postgresql"]["pg_hba"]:
        kind, database, user, *_, way = rule.split()
        assert way == ("trust" if kind == "local" else "scram-sha-256"), rule
        assert database != "replication" or user == "replicator", rule
    ways = {k: v for each in CONFIG["bootstrap"]["initdb"] for k, v in each.items()}
    assert ways["auth-host"] == "scram-sha-256" and ways["encoding"] == "UTF8"


def test_a_database_that_is_half_made_is_no_success() -> None:
    script = (FOLDER / "create-database.sh").read_text()
    assert "ON_ERROR_STOP=1" in script and "set -eu" in script


def test_replicas_get_in() -> None:
    """To PostgreSQL, `all` databases are without `replication`."""
    rules = [rule.split() for rule in CONFIG["postgresql"]["pg_hba"]]
    assert ["host", "replication", "replicator", "all"] in [each[:4] for each in rules]


def test_programs_find_the_socket_where_the_server_makes_it() -> None:
    """`psql` in the container, and Patroni's own script, name no host."""
    image = (FOLDER / "Dockerfile").read_text()
    folder = CONFIG["postgresql"]["parameters"]["unix_socket_directories"]
    assert re.search(rf"^(ENV| ) .*\bPGHOST={folder}$", image, re.MULTILINE)


def test_its_programs_are_found() -> None:
    """By the entry point, and by `patronictl` in a shell."""
    image = (FOLDER / "Dockerfile").read_text()
    (made,) = re.findall(r"python3 -m venv [^\n]*?(/\S+) &&", image)
    last = image.rpartition("\nFROM ")[2]
    assert f" {made} {made}\n" in last
    assert re.search(rf"^ENV PATH={made}/bin:\$PATH", last, re.MULTILINE)


def test_the_owner_may_do_what_migrations_do() -> None:
    """They make the roles of the API and of services."""
    script = (FOLDER / "create-database.sh").read_text()
    made = yaml.safe_load_all(
        (FOLDER.parent / "cloudnative-pg/postgres-cluster.yaml").read_text()
    )
    cluster = next(each for each in made if each["kind"] == "Cluster")["spec"]
    (role,) = cluster["managed"]["roles"]
    assert role["login"] and role["createrole"]
    assert f"CREATE ROLE {role['name']} LOGIN CREATEROLE " in script
    initdb = cluster["bootstrap"]["initdb"]
    assert f"CREATE DATABASE {initdb['database']} OWNER {initdb['owner']};" in script


def test_three_nodes_have_connections_for_all_processes() -> None:
    """As many as one server of our own; the autoscalers of production need more."""
    single = (ROOT / "deploy/postgres/postgres.yaml").read_text()
    (least,) = re.findall(r"max_connections=(\d+)", single)
    assert SHARED["postgresql"]["parameters"]["max_connections"] >= int(least)
    cluster = (FOLDER.parent / "cloudnative-pg/postgres-cluster.yaml").read_text()
    (given,) = re.findall(r'max_connections: "(\d+)"', cluster)
    deployment = (ROOT / "docs/DEPLOYMENT.md").read_text()
    (advised,) = re.findall(r"set `max_connections` to (\d+)", deployment)
    assert int(given) >= int(advised)
    # Clients that are gone without a word do not keep theirs.
    (seconds,) = re.findall(r"tcp_user_timeout: (\d+)s\n", cluster)
    assert int(seconds) <= 30
