"""Targets do what their name says; what CI runs is what `make` runs."""

import os
import re
import subprocess

import pytest
import yaml

from local.apps import ROOT
from local.bootstrap import COMMANDS

TEXT = (ROOT / "Makefile").read_text()
RECIPES = dict(re.findall(r"^([a-z0-9-]+):.*\n((?:\t.*\n)+)", TEXT, re.MULTILINE))
COMPOSE = yaml.safe_load((ROOT / "docker-compose.yml").read_text())["services"]


def said(*words: str) -> str:
    """What a target would run."""
    command = ["make", "-n", "COMPOSE=compose", "PYTHON=python", *words]
    result = subprocess.run(command, cwd=ROOT, capture_output=True, text=True)
    assert result.returncode == 0, result.stderr
    return result.stdout


@pytest.mark.parametrize("name", sorted({*COMMANDS} - {"help"}))
def test_a_target_runs_the_command_of_its_name(name: str) -> None:
    recipe = RECIPES[name]
    assert re.search(rf"\$\(PYTHON\) -m local {name}(?= |;|\n|$)", recipe)
    # Only a stack of several processes hears Ctrl-C itself.
    assert recipe.startswith("\t@exec") == (name in {"run", "dev", "debug", "backup"})
    takes_words = re.search(r"\[|: ", COMMANDS[name].help)
    assert not takes_words or re.search(r"\$\((?!PYTHON|COMPOSE)[A-Z_]+\)", recipe)


@pytest.mark.promise(
    "docs/CONTAINERS.md", "or: make down; ARGS=-v removes the data, too"
)
def test_data_goes_only_if_somebody_says_so() -> None:
    commands = {name: said(name) for name in RECIPES}
    assert [name for name, text in commands.items() if " -v" in text] == []
    assert said("down", "ARGS=-v").endswith(" -v\n")
    assert "compose up -d --build\n" in said("up", "ARGS=--build")


def test_the_containers_of_every_file_are_stopped() -> None:
    """Of `make up-ha` and `make up-backup` too: what still runs keeps its volume."""
    assert "compose down --remove-orphans " in said("down")


def test_the_shell_of_the_database_knows_its_login() -> None:
    given = COMPOSE["postgres"]["environment"]
    login = f"psql -U {given['POSTGRES_USER']} {given['POSTGRES_DB']}"
    assert f"compose exec postgres {login}" in said("psql")


def test_backups_are_their_owners_alone() -> None:
    """They hold hashes of passwords, and all data."""
    before, _, after = said("up-backup").partition("compose exec -T rabbitmq")
    assert "mkdir -p -m 700 backups/containers\n" in before
    assert before.endswith("umask 077; ") and "> backups/containers/" in after


def test_ci_runs_all_that_make_test_runs() -> None:
    file = ROOT / ".ci/run"
    lines = file.read_text().splitlines()
    assert "set -euo pipefail" in lines and lines[-1] == "exec make test"
    assert os.access(file, os.X_OK)
    workflow = (ROOT / ".github/workflows/ci.yml").read_text()
    jobs = yaml.safe_load(workflow)["jobs"]
    test = [step.get("run") for step in jobs["test"]["steps"]]
    kinds = ("check", "unit", "integration", "e2e")
    assert {f"make {kind}" for kind in kinds} <= {*test}
    assert "make kit" in [step.get("run") for step in jobs["kit"]["steps"]]
    assert min(jobs["test"]["strategy"]["matrix"]["python"]) == "3.11"
    assert {*yaml.safe_load(workflow)[True]} == {
        "push",
        "pull_request",
        "workflow_call",
    }
    # Nothing may fail unseen, or be left out.
    assert not re.search(r"continue-on-error|\|\| true|--exit-zero|set \+e", workflow)
    for step in jobs["images"]["steps"]:
        if step.get("uses", "").startswith("anchore/scan-action@"):
            assert step["with"]["fail-build"] is True
            assert step["with"]["severity-cutoff"] in ("medium", "high")


@pytest.mark.parametrize("name", sorted(RECIPES))
def test_what_the_list_of_commands_names_has_an_effect(name: str) -> None:
    """`make help` prints these texts."""
    text = re.search(rf"^{name}:.*?## (.*)$", TEXT, re.MULTILINE)
    own = re.sub(r"`.*?`", "", text[1]) if text else ""  # without other commands
    for variable in re.findall(r"\b([A-Z_]+)=", own):
        assert said(name, f"{variable}=something") != said(name), variable
