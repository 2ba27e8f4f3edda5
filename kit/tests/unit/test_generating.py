"""Services and resources in a copy of the project: what is there, and nothing after."""

import json
import re
import shutil
from pathlib import Path

import pytest
import yaml

from kit import commands, service
from kit.edits import Part
from kit.names import LONGEST, Name
from kit.tests.copies import snapshot

LONG = ("a" * (LONGEST // 2 - 1)) + "-" + "b" * (LONGEST // 2)
COMPOSE = """x-environment: &environment
  DATA_QUEUE_NAME: ${DATA_QUEUE_NAME:-data_queue}

services:
  api:
    environment: *environment
    depends_on:
      data-service: {condition: service_healthy}

  data-service:
    image: data-service
    environment:
      QUEUE_NAME: ${DATA_QUEUE_NAME:-data_queue}

      SERVICE_NAME: data

  rabbitmq:
    image: rabbitmq-service
"""
SCALE = "services:\n  api:\n    scale: 3\n\n  data-service:\n    scale: 2\n"


def run(project: Path, *words: str) -> int:
    return commands.run(words[0], [*words[1:]], project)


@pytest.mark.parametrize("name", ["pricing", "price-list", LONG])
def test_a_service_comes_and_goes(project: Path, name: str) -> None:
    before = snapshot(project)
    cache = project / "services/dataservice/.mypy_cache/x"
    cache.parent.mkdir()
    cache.write_bytes(b"\xff")
    assert run(project, "new-service", name) == 0
    made = snapshot(project)
    folder = f"services/{Name.parse(name).snake}"
    for file in ("main.py", "README.md", "kustomization.yaml", "requirements.txt"):
        assert f"{folder}/{file}" in made
    (project / folder / ".pytest_cache").mkdir()
    assert run(project, "remove-service", name.replace("-", "_")) == 0
    assert not (project / folder).exists()
    assert snapshot(project) == before


def test_a_resource_comes_and_goes(project: Path) -> None:
    before = snapshot(project)
    assert run(project, "new-resource", "purchase_order") == 0
    assert "backend/app/models/purchase_order.py" in snapshot(project)
    assert run(project, "remove-resource", "purchase-order") == 0
    assert snapshot(project) == before


def test_several_come_and_go_in_any_order(project: Path) -> None:
    before = snapshot(project)
    for words in (
        ("new-service", "pricing"),
        ("new-resource", "invoice"),
        ("new-service", "price-list"),
        ("remove-service", "pricing"),
        ("new-service", "shipping"),
        ("remove-service", "price-list"),
        ("remove-service", "shipping"),
        ("remove-resource", "invoice"),
    ):
        assert run(project, *words) == 0, words
    assert snapshot(project) == before


def test_nothing_of_the_template_is_left_in_what_is_made(project: Path) -> None:
    before = snapshot(project)
    run(project, "new-service", LONG)
    run(project, "new-resource", LONG.replace("a", "c"))
    for path, (_, content) in snapshot(project).items():
        if path in before or path.endswith("/"):
            continue
        text = content.decode()
        assert not re.search(r"speci-?_? ?mens?", text, re.IGNORECASE), path
        if path.startswith("services/"):
            words = r"data[-_ ]?service|data_queue|DATA_QUEUE"
            assert not re.search(words, text, re.IGNORECASE), path
        if path.endswith(".py"):
            assert max(map(len, text.splitlines()), default=0) <= 88, path


def test_its_names_are_its_own(project: Path) -> None:
    run(project, "new-service", "pricing")
    queues = json.loads((project / "rabbitmq/definitions.json").read_text())["queues"]
    names = [queue["name"] for queue in queues]
    assert {"pricing_queue", "pricing_queue_dlq"} < set(names)
    assert len(names) == len(set(names))
    objects = [
        (each["kind"], each["metadata"]["name"])
        for file in project.glob("services/*/*-pod.yaml")
        for each in yaml.safe_load_all(file.read_text())
    ]
    assert len(objects) == len(set(objects))


def test_compose_files_that_are_there_get_their_part(project: Path) -> None:
    for file in project.glob("docker-compose*.yml"):
        file.unlink()
    (project / "docker-compose.yml").write_text(COMPOSE)
    (project / "docker-compose.scale.yml").write_text(SCALE)
    (project / service.WORKFLOW).write_text("image: [a, data-service, b]\n")
    before = snapshot(project)
    assert run(project, "new-service", "pricing") == 0
    made = yaml.safe_load((project / "docker-compose.yml").read_text())
    own = made["services"]["pricing-service"]
    assert own["image"] == "pricing-service"
    variables = {
        "QUEUE_NAME": "${PRICING_QUEUE_NAME:-pricing_queue}",
        "SERVICE_NAME": "pricing",
    }
    assert own["environment"] == variables
    api = made["services"]["api"]
    assert api["environment"]["PRICING_QUEUE_NAME"] == variables["QUEUE_NAME"]
    assert set(api["depends_on"]) == {"data-service", "pricing-service"}
    scale = (project / "docker-compose.scale.yml").read_text()
    assert scale == SCALE + "\n  pricing-service:\n    scale: 2\n"
    workflow = (project / service.WORKFLOW).read_text()
    assert workflow == "image: [a, data-service, pricing-service, b]\n"
    assert run(project, "remove-service", "pricing") == 0
    assert snapshot(project) == before


@pytest.mark.parametrize(
    "words",
    [
        *(("new-service", "pricing"), ("new-resource", "pricing")),
        *(("new-resource", "record"), ("new-resource", "page")),
        *(("new-resource", "log"), ("new-service", "billing-service")),
        *(("remove-service", "shipping"), ("remove-resource", "invoice")),
        *(("new-service",), ("new-service", "a", "b"), ("new-service", "a", "--x")),
    ],
)
def test_what_cannot_be_done_changes_nothing(
    project: Path, words: tuple[str, ...], capsys: pytest.CaptureFixture[str]
) -> None:
    run(project, "new-service", "pricing")
    before = snapshot(project)
    assert run(project, *words) == 1
    assert capsys.readouterr().err
    assert snapshot(project) == before


@pytest.mark.parametrize(("path", "part"), service.PLACES)
def test_a_missing_place_is_named(
    project: Path, path: str, part: Part, capsys: pytest.CaptureFixture[str]
) -> None:
    file = project / path
    text = file.read_text()
    file.write_text(text.replace(part.first, part.first[:-1] + "?"))
    before = snapshot(project)
    assert run(project, "new-service", "pricing") == 1
    said = capsys.readouterr().err
    assert path in said and part.first.strip() in said
    assert snapshot(project) == before


def test_a_missing_file_or_function_is_named(
    project: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    data = project / "backend/app/api/v1/endpoints/data.py"
    data.write_text(data.read_text().replace("process_data(", "handle("))
    assert run(project, "new-service", "pricing") == 1
    assert "data.py has no process_data" in capsys.readouterr().err
    data.unlink()
    assert run(project, "new-service", "pricing") == 1
    assert "data.py is missing" in capsys.readouterr().err
    shutil.rmtree(project / "services/dataservice")
    assert run(project, "new-service", "pricing") == 1


def test_what_was_changed_since_is_removed_by_force_only(
    project: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    before = snapshot(project)
    run(project, "new-service", "pricing")
    own = project / "services/pricing/app/pricing_service.py"
    made = own.read_text()
    own.write_text(made + "# mine\n")
    assert run(project, "remove-service", "pricing") == 1
    assert "pricing_service.py was changed" in capsys.readouterr().err
    own.write_text(made)
    more = own.with_name("more.py")
    more.write_text("")
    assert run(project, "remove-service", "pricing") == 1
    assert "more.py was added" in capsys.readouterr().err
    readme = project / "README.md"
    readme.write_text(readme.read_text().replace("| [Pricing service]", "| [Mine]"))
    env = project / ".env.example"
    env.write_text(env.read_text().replace("=pricing_queue", "=prices"))
    assert run(project, "remove-service", "pricing", "--force") == 0
    after = snapshot(project)
    assert {path for path in after if after[path] != before.get(path)} == {"README.md"}
    assert set(after) == set(before)


def test_a_migration_that_others_build_upon_stays(
    project: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    run(project, "new-resource", "invoice")
    run(project, "new-resource", "customer")
    before = snapshot(project)
    assert run(project, "remove-resource", "invoice") == 1
    assert "create_customers.py follows" in capsys.readouterr().err
    assert snapshot(project) == before
