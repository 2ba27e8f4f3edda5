"""PostgreSQL with Patroni, without either: who becomes the primary, and who gets in."""

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
