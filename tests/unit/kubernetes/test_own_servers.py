"""PostgreSQL and Redis without failover, and how their own tools ask them."""

import re
import shlex
from collections.abc import Iterator
from typing import Any

import pytest
import yaml

from tests.unit.kubernetes.manifests import ROOT, workload

COMPOSE = ROOT / "docker-compose.yml"
#: Options of psql and pg_isready, and the variable that says what to name.
NAMED = {"-U": "POSTGRES_USER", "-d": "POSTGRES_DB"}


@pytest.mark.parametrize("name", ["postgres", "redis", "redis-keys"])
def test_what_copies_no_data_runs_once(name: str) -> None:
    """Two would keep different data behind one name."""
    spec = workload(name, "development").object["spec"]
    assert spec["replicas"] == 1
    # A Deployment would start the new pod beside the old one.
    assert workload(name, "development").kind == "StatefulSet"


def commands(of: Any) -> Iterator[list[str]]:
    """The words of every command that asks PostgreSQL, however deep it stands."""
    if isinstance(of, dict):
        for each in of.values():
            yield from commands(each)
    elif isinstance(of, list) and all(isinstance(word, str) for word in of):
        for line in re.split(r"[;&|]+", " ".join(map(shlex.quote, of))):
            words = shlex.split(line.replace("'", " ").replace("CMD-SHELL", ""))
            if {"psql", "pg_isready"} & {*words}:
                yield words
    elif isinstance(of, list):
        for each in of:
            yield from commands(each)


def test_postgresql_is_asked_for_the_database_that_it_has() -> None:
    """Without a name, its tools ask for one that is called like the user."""
    found = workload("postgres", "development")
    asked = [(found.main, found.environment())]
    if COMPOSE.exists():
        own = yaml.safe_load(COMPOSE.read_text())["services"]["postgres"]
        asked.append((own, own["environment"]))
    for container, env in asked:
        lines = [*commands(container)]
        assert lines
        for words in lines:
            for option, variable in NAMED.items():
                assert words[words.index(option) + 1] == env[variable], words
