"""What cannot be generated or removed is told, and changes nothing."""

import re
from pathlib import Path

import pytest

from kit import commands, service, update
from kit.tests.copies import OTHER, RESOURCE, SERVICE, TASK, copy_project, snapshot
from kit.tree import KitError
from local.tests.troubleshooting import explanation


def run(project: Path, *words: str) -> int:
    return commands.run(words[0], [*words[1:]], project)


@pytest.fixture(scope="module")
def generated(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """One for all failed commands, which change nothing."""
    project = copy_project(tmp_path_factory.mktemp("generated") / "project")
    run(project, "new-service", SERVICE)
    run(project, "new-task", TASK)
    return project


@pytest.mark.parametrize(
    "words",
    [
        *(("new-service", SERVICE), ("new-resource", SERVICE)),
        *(("new-resource", "record"), ("new-resource", "page")),
        *(("new-resource", "log"), ("new-service", "billing-service")),
        *(("new-service", "task"), ("new-task", "maintenance"), ("new-task", TASK)),
        *(("remove-service", OTHER), ("remove-resource", RESOURCE)),
        *(("remove-task", OTHER), ("remove-task", "maintenance", "--force")),
        *(("new-service",), ("new-service", "a", "b"), ("new-service", "a", "--x")),
        ("new-service", "data"),
    ],
)
def test_a_failed_command_changes_nothing(
    generated: Path, words: tuple[str, ...], capsys: pytest.CaptureFixture[str]
) -> None:
    before = snapshot(generated)
    assert run(generated, *words) == 1
    assert capsys.readouterr().err
    assert snapshot(generated) == before


@pytest.mark.parametrize("kind", ["service", "resource", "task"])
def test_a_taken_name_is_told(
    project: Path, kind: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(project, f"new-{kind}", "gadget") == 0
    assert run(project, f"new-{kind}", "gadget") == 1
    assert "another name" in explanation(capsys.readouterr().err)


def test_a_service_never_joins_files_that_are_there(
    generated: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """`remove-service` would take them along, or leave half of the folder."""
    (generated / "services/gadget").mkdir()
    (generated / "services/gadget/NOTES").write_text("mine\n")
    before = snapshot(generated)
    assert run(generated, "new-service", "gadget") == 1
    assert "services/gadget already exists" in capsys.readouterr().err
    assert snapshot(generated) == before


@pytest.mark.parametrize(
    ("path", "place", "reason"),
    [
        ("docker-compose.yml", "  api:\n", "services.api.depends_on is missing"),
        (
            "deploy/compose/docker-compose.scale.yml",
            "services:\n",
            "services is missing",
        ),
        ("rabbitmq/definitions.json", '"queues": [', "the list queues is missing"),
        ("services/kustomization.yaml", "resources:", "resources is missing"),
        (service.REGISTRY, "SERVICES:", "the tuple SERVICES is missing"),
    ],
)
def test_a_missing_place_is_named(
    project: Path,
    path: str,
    place: str,
    reason: str,
    capsys: pytest.CaptureFixture[str],
) -> None:
    file = project / path
    text = file.read_text()
    assert place in text
    file.write_text(text.replace(place, re.sub(r"(\w)(?=\W*$)", r"\1_", place), 1))
    before = snapshot(project)
    assert run(project, "new-service", SERVICE) == 1
    said = capsys.readouterr().err
    assert path in said and reason in said
    assert snapshot(project) == before


def test_without_the_registry_there_is_no_service(
    project: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (project / service.REGISTRY).unlink()
    assert run(project, "new-service", SERVICE) == 1
    assert f"{service.REGISTRY} is missing" in capsys.readouterr().err


def test_a_version_of_the_kit_is_merged_once(
    project: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(update, "require_clean", lambda _: None)
    monkeypatch.setattr(update, "succeeds", lambda *_: True)
    monkeypatch.setattr(update, "_fetch", lambda *_: None)
    monkeypatch.setattr(update, "_known", lambda *_: "a commit")
    monkeypatch.setattr(update, "_commit", lambda *words: pytest.fail(str(words)))
    with pytest.raises(KitError, match="v9.9.9 is already merged"):
        update.update(project, "v9.9.9")
