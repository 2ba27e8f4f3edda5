"""Services, resources and tasks in a copy of the project: added, and removed
completely."""

import json
import os
import re
import shutil
from pathlib import Path

import pytest
import yaml

from kit import commands, demo, service
from kit.edits import Add
from kit.names import LONGEST, Name, from_specimen
from kit.rendering import chosen, entries
from kit.tests.copies import (
    HAS_DEMO,
    OTHER,
    RESOURCE,
    SERVICE,
    TASK,
    Snapshot,
    python,
    snapshot,
)
from kit.tree import Tree

LONG = ("a" * (LONGEST // 2 - 1)) + "-" + "b" * (LONGEST // 2)
OWN = Name.parse(SERVICE)
DEV = "deploy/compose/docker-compose.dev.yml"
SCALE = "deploy/compose/docker-compose.scale.yml"
SHARED = (
    *("docker-compose.yml", "docker-compose.ha.yml", DEV, SCALE),
    "rabbitmq/definitions.json",
    "services/kustomization.yaml",
)


def run(project: Path, *words: str) -> int:
    return commands.run(words[0], [*words[1:]], project)


def lines(made: Snapshot, before: Snapshot) -> dict[str, int]:
    """How many lines each file has gained."""
    return {
        path: content.count(b"\n") - before.get(path, (0, b""))[1].count(b"\n")
        for path, (_, content) in made.items()
        if not path.endswith("/") and before.get(path, (0, b""))[1] != content
    }


@pytest.mark.parametrize("name", [SERVICE, "trialprice", LONG])
def test_a_service_is_added_and_removed(project: Path, name: str) -> None:
    before = snapshot(project)
    assert run(project, "new-service", name) == 0
    made = snapshot(project)
    assert f"services/{Name.parse(name).snake}/main.py" in made
    (project / "services" / Name.parse(name).snake / ".pytest_cache").mkdir()
    assert run(project, "remove-service", name.replace("-", "_")) == 0
    assert snapshot(project) == before


@pytest.mark.parametrize("name", [SERVICE, LONG])
def test_a_service_is_small(project: Path, name: str) -> None:
    before = snapshot(project)
    run(project, "new-service", name)
    more = lines(snapshot(project), before)
    own = {path: count for path, count in more.items() if path not in before}
    assert len(own) <= 12
    assert sum(own.values()) <= 400
    # A long name breaks lines in shared files.
    if name == SERVICE:
        assert sum(more.values()) <= 400
        assert more[service.REGISTRY] == 1


def test_a_service_with_events_is_added_and_removed(project: Path) -> None:
    before = snapshot(project)
    run(project, "new-service", OTHER)
    files = snapshot(project)
    without = lines(files, before)
    run(project, "remove-service", OTHER)
    assert run(project, "new-service", OTHER, "--events") == 0
    made = lines(snapshot(project), before)
    own = f"services/{OTHER}"
    assert not files.keys() & (set(made) - set(without)), "not even empty files"
    assert set(made) - set(without) == {
        f"{own}/tests/conftest.py",
        f"{own}/tests/integration/test_{OTHER}_events.py",
    }
    assert sum(made.values()) - sum(without.values()) < 100
    assert "# if" not in "".join((project / each).read_text() for each in made)
    config = (project / own / f"{OTHER}-config.env").read_text()
    assert "EVENTS_DATABASE_URL_FILE=/run/secrets/events-database-url" in config
    (compose,) = (
        each["environment"]
        for each in yaml.safe_load((project / "docker-compose.yml").read_text())[
            "services"
        ].values()
        if f"{own}/Dockerfile" == each.get("build", {}).get("dockerfile")
    )
    assert "EVENTS_DATABASE_URL" in compose
    assert run(project, "remove-service", OTHER) == 0
    assert snapshot(project) == before


def test_options_belong_to_commands(project: Path) -> None:
    assert run(project, "new-resource", RESOURCE, "--events") == 1
    assert run(project, "new-service", SERVICE, "--force") == 1


def test_a_resource_is_added_and_removed(project: Path) -> None:
    before = snapshot(project)
    assert run(project, "new-resource", "trial_order") == 0
    assert "backend/app/models/trial_order.py" in snapshot(project)
    assert run(project, "remove-resource", "trial-order") == 0
    assert snapshot(project) == before


def test_a_task_is_added_and_removed(project: Path) -> None:
    before = snapshot(project)
    assert run(project, "new-task", TASK) == 0
    made = snapshot(project)
    assert set(made) - set(before) == {
        "backend/app/tasks/trial_job.py",
        "backend/tests/integration/test_trial_job_task.py",
    }
    assert not lines(made, before).keys() & before.keys()
    assert run(project, "remove-task", TASK.replace("-", "_")) == 0
    assert snapshot(project) == before


def test_several_are_added_and_removed_in_any_order(project: Path) -> None:
    before = snapshot(project)
    for words in (
        ("new-service", "trialprice"),
        ("new-resource", RESOURCE),
        ("new-service", SERVICE),
        # One name for all kinds of things except addresses.
        ("new-task", SERVICE),
        ("new-task", RESOURCE),
        ("remove-service", "trialprice"),
        ("new-service", OTHER),
        ("remove-service", SERVICE),
        ("remove-task", RESOURCE),
        ("remove-service", OTHER),
        ("remove-resource", RESOURCE),
        ("remove-task", SERVICE),
    ):
        assert run(project, *words) == 0, words
    assert snapshot(project) == before


def test_generated_files_contain_no_template_words(project: Path) -> None:
    before = snapshot(project)
    run(project, "new-service", LONG)
    run(project, "new-resource", LONG.replace("a", "c"))
    run(project, "new-task", LONG)
    for path, (_, content) in snapshot(project).items():
        if before.get(path, (0, b""))[1] == content:
            continue
        text = content.decode()
        assert not re.search(r"speci-?_? ?mens?", text, re.IGNORECASE), path
        if path.endswith(".py"):
            assert max(map(len, text.splitlines()), default=0) <= 88, path


def test_generated_names_are_unique(project: Path) -> None:
    run(project, "new-service", SERVICE)
    run(project, "new-service", OTHER)
    queues = json.loads((project / "rabbitmq/definitions.json").read_text())["queues"]
    names = [queue["name"] for queue in queues]
    registered = service.registered(Tree(project))
    assert {OWN.snake, OTHER} <= set(registered)
    assert {*registered.values(), *(f"{q}_dlq" for q in registered.values())} == set(
        names
    )
    assert len(names) == len(set(names)) == 2 * len(registered)
    objects = [
        (each["kind"], each["metadata"]["name"])
        for file in project.glob("services/*/*-pod.yaml")
        for each in yaml.safe_load_all(file.read_text())
    ]
    assert len(objects) == len(set(objects))


def test_compose_files_get_their_entries(project: Path) -> None:
    run(project, "new-service", SERVICE)
    made = yaml.safe_load((project / "docker-compose.yml").read_text())["services"]
    ((key, own),) = (each for each in made.items() if f"{SERVICE}-service" in each[0])
    assert own["image"] == own["container_name"] == f"${{CONTAINER_PREFIX:-}}{key}"
    assert own["build"]["dockerfile"] == f"services/{OWN.snake}/Dockerfile"
    assert own["mem_limit"] and own["read_only"]
    variable = f"{OWN.snake.upper()}_QUEUE_NAME"
    queue = service.registered(Tree(project))[OWN.snake]
    assert own["environment"]["QUEUE_NAME"] == f"${{{variable}:-{queue}}}"
    assert made["api"]["environment"][variable] == own["environment"]["QUEUE_NAME"]
    assert key in made["api"]["depends_on"]
    for file in (DEV, SCALE):
        assert key in yaml.safe_load((project / file).read_text())["services"]


def test_a_project_without_containers_and_manifests(project: Path) -> None:
    for file in map(project.joinpath, SHARED):
        file.unlink(missing_ok=True)
    before = snapshot(project)
    assert run(project, "new-service", SERVICE) == 0
    assert run(project, "remove-service", SERVICE) == 0
    assert snapshot(project) == before


@pytest.mark.skipif(not HAS_DEMO, reason="the data service was taken out")
def test_the_data_service_has_the_entries_of_a_new_one(project: Path) -> None:
    """`remove-demo` removes its entries, so they must look as if generated today."""
    tree = Tree(project)
    rename = from_specimen(demo.NAME, demo.WORDS)
    for edit in entries(tree, service.TEMPLATES, rename):
        edit.undo(tree, force=False)
    assert set(tree.changes) >= {*SHARED, service.REGISTRY}


@pytest.mark.skipif(not HAS_DEMO, reason="the data service was removed")
@pytest.mark.parametrize(
    "file", ["Dockerfile", "specimen-pod.yaml", "specimen-config.env"]
)
def test_a_new_service_is_built_and_deployed_like_the_data_service(file: str) -> None:
    """Tests and people try the data service alone: what it has was proved."""
    rename = from_specimen(demo.NAME, demo.WORDS)
    path = f"{service.TEMPLATES}/services/specimen/{file}"
    made = rename(chosen((commands.ROOT / path).read_text(), ()))
    own = commands.ROOT / demo.FOLDER / file.replace("specimen", "dataservice")
    assert parsed(made, own) == parsed(own.read_text(), own)


def parsed(text: str, file: Path) -> list[object]:
    """What the file says, however it is written."""
    if file.suffix == ".yaml":
        return list(yaml.safe_load_all(text))
    return [line for line in text.splitlines() if line and line[0] != "#"]


def test_edited_files_are_removed_only_with_force(
    project: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    before = snapshot(project)
    run(project, "new-service", SERVICE)
    own = project / f"services/{OWN.snake}/app/{OWN.snake}_service.py"
    made = own.read_text()
    own.write_text(made + "# mine\n")
    assert run(project, "remove-service", SERVICE) == 1
    assert f"{own.name} was changed" in capsys.readouterr().err
    own.write_text(made)
    more = own.with_name("more.py")
    more.write_text("")
    assert run(project, "remove-service", SERVICE) == 1
    assert "more.py was added" in capsys.readouterr().err
    compose = project / "docker-compose.yml"
    text = compose.read_text()
    compose.write_text(text.replace(f":-{_queue(project)}}}\n\n", ":-prices}\n\n"))
    shutil.rmtree(own.parents[1] / "tests")
    assert run(project, "remove-service", SERVICE, "--force") == 0
    assert snapshot(project) == before


def _queue(project: Path) -> str:
    return service.registered(Tree(project))[OWN.snake]


def test_a_migration_that_others_depend_on_stays(
    project: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    run(project, "new-resource", RESOURCE)
    run(project, "new-resource", "trial-customer")
    before = snapshot(project)
    assert run(project, "remove-resource", RESOURCE) == 1
    assert "create_trial_customers.py depends on" in capsys.readouterr().err
    assert snapshot(project) == before


def test_every_fragment_belongs_to_an_existing_file(project: Path) -> None:
    tree = Tree(project)
    made = list(entries(tree, service.TEMPLATES, from_specimen(OWN)))
    assert all(isinstance(edit, Add) for edit in made)
    assert {edit.path for edit in made} >= {*SHARED, service.REGISTRY}
    for edit in made:
        assert tree.exists(edit.path)


@pytest.mark.parametrize("options", [(), ("--events",)])
def test_the_objects_of_a_new_service_name_each_other(
    project: Path, options: tuple[str, ...]
) -> None:
    run(project, "new-service", SERVICE, *options)
    (file,) = project.glob(f"services/{OWN.snake}/*-pod.yaml")
    objects = {each["kind"]: each for each in yaml.safe_load_all(file.read_text())}
    names = {each["metadata"]["name"] for each in objects.values()}
    (name,) = names
    assert name.endswith(f"{SERVICE}-service")  # after a project's own name, if any
    pod = objects["Deployment"]["spec"]["template"]
    assert {pod["spec"]["serviceAccountName"]} == names
    for kind in ("HorizontalPodAutoscaler", "ScaledObject"):
        assert {objects[kind]["spec"]["scaleTargetRef"]["name"]} == names
    for kind in ("Deployment", "PodDisruptionBudget"):
        labels = objects[kind]["spec"]["selector"]["matchLabels"]
        assert labels.items() <= pod["metadata"]["labels"].items()


MADE = """
import sys
from importlib import import_module
from sqlalchemy.dialects.postgresql import dialect
from sqlalchemy.schema import CreateIndex, CreateTable
from sqlmodel import SQLModel

import_module(f"app.models.{sys.argv[1]}")
(table,) = (t for t in SQLModel.metadata.tables.values() if t.name == sys.argv[2])
for each in (CreateTable(table), *map(CreateIndex, table.indexes)):
    print(each.compile(dialect=dialect()))
"""


def test_the_migration_of_a_new_resource_makes_the_table_of_its_model(
    project: Path,
) -> None:
    """Types, bounds, defaults, indexes. `make kit` does so with PostgreSQL."""
    run(project, "new-resource", RESOURCE)
    own = Name.parse(RESOURCE)
    path = {"PYTHONPATH": os.pathsep.join([str(project / "backend"), str(project)])}
    model = python(project / "backend", "-c", MADE, own.snake, own.plural.snake, **path)
    migrations = python(
        project / "backend", "-m", "alembic", "upgrade", "head", "--sql", **path
    )
    found = definitions(migrations, own.plural.snake)
    assert found == definitions(model, own.plural.snake) != set()


def definitions(sql: str, table: str) -> set[str]:
    """The lines that make a table and its indexes, in any order."""
    made = rf"^CREATE TABLE {table} \([\s\S]*?^\)|^CREATE INDEX .* ON {table} .*\)"
    found = re.findall(made, sql, re.MULTILINE)
    return {line.strip(" \t,") for each in found for line in each.splitlines()} - {""}
