"""`remove-demo` removes the whole data service, and nothing else."""

import re
from pathlib import Path

import pytest
import yaml

from kit import commands, demo, service
from kit.names import Name
from kit.tests.copies import HAS_DEMO, SERVICE, snapshot
from kit.tree import Tree
from local import promises

pytestmark = pytest.mark.skipif(not HAS_DEMO, reason="it was taken out")

# Files that may still name its folder: the changelog, and the kit, which removes the
# demo.
LEFT = ("CHANGELOG.md", "kit/")


def run(project: Path, *words: str) -> int:
    return commands.run(words[0], [*words[1:]], project)


def own(project: Path) -> set[str]:
    """The project's services."""
    return set(service.registered(Tree(project)))


def compose(project: Path) -> set[str]:
    return set(yaml.safe_load((project / "docker-compose.yml").read_text())["services"])


def test_the_demo_is_removed_completely(project: Path) -> None:
    before, services, containers = snapshot(project), own(project), compose(project)
    assert run(project, "remove-demo") == 0
    after = snapshot(project)
    assert set(after) < set(before)
    for place in demo.OWN:
        assert place in before or f"{place}/" in before, place
        assert place not in after and f"{place}/" not in after
    assert own(project) == services - {demo.NAME.snake}
    (container,) = containers - compose(project)
    composed = [
        *project.glob("docker-compose.yml"),
        *project.glob("deploy/compose/*.yml"),
    ]
    for file in composed:
        assert not re.search(rf"(?<![\w-]){container}(?![\w-])", file.read_text())
    manifests = yaml.safe_load((project / "services/kustomization.yaml").read_text())
    assert not [path for path in manifests["resources"] if demo.FOLDER in path]
    assert promises.page(project) == (project / promises.DOCUMENT).read_text()
    assert promises.broken(project) == []
    for path, (_, content) in after.items():
        if content != before[path][1] and path.endswith(".md"):
            assert "<!-- demo" not in content.decode()


@pytest.mark.parametrize("line", ['call_service("QUEUE", {})', 'service_for("data")'])
def test_who_still_asks_it_is_told(
    project: Path, line: str, capsys: pytest.CaptureFixture[str]
) -> None:
    run(project, "new-service", SERVICE)
    (path,) = project.glob("services/trial_price/app/*_service.py")
    queue = service.registered(Tree(project))[demo.NAME.snake]
    path.write_text(path.read_text() + f"\n\n{line.replace('QUEUE', queue)}\n")
    capsys.readouterr()
    assert run(project, "remove-demo") == 0
    (told,) = [line for line in capsys.readouterr().out.splitlines() if "asks" in line]
    assert told.startswith(f"{path.relative_to(project)} still asks data")


def test_the_machinery_stays(project: Path) -> None:
    run(project, "remove-demo")
    after = snapshot(project)
    for path in ("services/data_service.py", "tasks/data.py", "models/schemas.py"):
        assert f"backend/app/{path}" in after
    assert "backend/app/repositories/data_repository.py" in after
    assert "tests/e2e/client.py" in after


def test_a_service_is_added_and_removed_without_the_demo(project: Path) -> None:
    run(project, "remove-demo")
    before, services = snapshot(project), own(project)
    assert run(project, "new-service", SERVICE) == 0
    assert own(project) - services == {Name.parse(SERVICE).snake}
    assert run(project, "remove-service", SERVICE) == 0
    assert snapshot(project) == before


def test_your_own_services_stay(project: Path) -> None:
    services, folder = own(project), f"services/{Name.parse(SERVICE).snake}/"
    run(project, "new-service", SERVICE)
    assert run(project, "remove-demo") == 0
    assert folder in snapshot(project)
    assert run(project, "remove-service", SERVICE) == 0
    assert own(project) == services - {demo.NAME.snake}
    assert folder not in snapshot(project)


def test_the_demo_cannot_be_removed_twice(
    project: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    run(project, "remove-demo")
    before = snapshot(project)
    assert run(project, "remove-demo") == 1
    assert "is already removed" in capsys.readouterr().err
    assert snapshot(project) == before


def test_no_other_file_names_the_demos_folder(project: Path) -> None:
    run(project, "remove-demo")
    for path, (_, content) in snapshot(project).items():
        if not path.startswith(LEFT) and not path.endswith((".png", "/")):
            assert demo.FOLDER not in content.decode(), path


def test_what_stands_between_two_passages_stays() -> None:
    passage = "<!-- demo -->\nAbout the demo.\n<!-- /demo -->\n"
    text = f"Before.\n{passage}Between.\n{passage}After.\n"
    assert demo.PASSAGE.sub("", text) == "Before.\nBetween.\nAfter.\n"
