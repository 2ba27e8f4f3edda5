"""The data service is taken out: all of it, and nothing else."""

from pathlib import Path

import pytest
import yaml

from kit import commands, demo, service
from kit.tests.copies import HAS_DEMO, SERVICE, snapshot
from kit.tree import Tree

pytestmark = pytest.mark.skipif(not HAS_DEMO, reason="it was taken out")

# What may still name its folder: what has been, and the kit, which takes it out.
LEFT = ("CHANGELOG.md", "kit/")


def run(project: Path, *words: str) -> int:
    return commands.run(words[0], [*words[1:]], project)


def test_it_goes_with_all_that_is_its_own(project: Path) -> None:
    before = snapshot(project)
    assert run(project, "remove-demo") == 0
    after = snapshot(project)
    assert set(after) < set(before)
    for place in demo.OWN:
        assert place in before or f"{place}/" in before, place
        assert place not in after and f"{place}/" not in after
    assert service.registered(Tree(project)) == {}
    for file in project.glob("docker-compose*.yml"):
        assert "data-service" not in file.read_text()
    manifests = yaml.safe_load((project / "services/kustomization.yaml").read_text())
    assert manifests["resources"] == []
    for path, (_, content) in after.items():
        if content != before[path][1] and path.endswith(".md"):
            assert "<!-- demo" not in content.decode()


def test_its_machinery_stays(project: Path) -> None:
    run(project, "remove-demo")
    after = snapshot(project)
    for path in ("services/data_service.py", "tasks/data.py", "models/schemas.py"):
        assert f"backend/app/{path}" in after
    assert "backend/app/repositories/data_repository.py" in after
    assert "tests/e2e/client.py" in after


def test_a_service_comes_and_goes_without_it(project: Path) -> None:
    run(project, "remove-demo")
    before = snapshot(project)
    assert run(project, "new-service", SERVICE) == 0
    assert [*service.registered(Tree(project))] == ["trial_price"]
    assert run(project, "remove-service", SERVICE) == 0
    assert snapshot(project) == before


def test_services_of_your_own_stay_when_it_goes(project: Path) -> None:
    run(project, "new-service", SERVICE)
    assert run(project, "remove-demo") == 0
    assert run(project, "remove-service", SERVICE) == 0
    without = snapshot(project)
    assert service.registered(Tree(project)) == {}
    assert f"services/{SERVICE.replace('-', '_')}/" not in without


def test_it_cannot_go_twice(project: Path, capsys: pytest.CaptureFixture[str]) -> None:
    run(project, "remove-demo")
    before = snapshot(project)
    assert run(project, "remove-demo") == 1
    assert "is not there" in capsys.readouterr().err
    assert snapshot(project) == before


def test_nothing_else_names_its_folder(project: Path) -> None:
    run(project, "remove-demo")
    for path, (_, content) in snapshot(project).items():
        if not path.startswith(LEFT) and not path.endswith((".png", "/")):
            assert demo.FOLDER not in content.decode(), path
