"""The first two days of a team: how it changes the kit, step by step.

The team's files are in `two_days/`, a folder for each step: new files in their places,
and changes to other files in `change.diff`. After each step the team runs the checks,
the tests that can see a change, and the whole stack behind nginx.
"""

import shutil
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from kit import demo
from kit.tests.copies import copy_project
from kit.tests.e2e.runs import (
    BACKEND,
    LOOKING,
    check,
    kit,
    make,
    pytest_in,
    side_by_side,
    write_documents,
)
from kit.tests.e2e.upgrades import NAME, NEXT, UPDATE, begin, publish, release, sh
from kit.tests.team import SNIPPETS, in_the_kit, write
from local.apps import ROOT

# The kit's own tests that the team's changes can break, in addition to those of
# `runs.py`.
ON_SERVERS = ["tests/integration/test_migrations.py"]
THROUGH_NGINX = ["tests/e2e/test_surroundings.py", "tests/e2e/test_schema.py"]


@pytest.mark.kit
@pytest.mark.timeout(3_600)
@in_the_kit
def test_two_days(tmp_path: Path) -> None:
    upstream = tmp_path / "upstream"
    upstream.mkdir()
    publish(copy_project(upstream))
    team = Team(begin(upstream, "clone"))
    project = team.project
    team.does("take a name", lambda: sh(project, NAME))
    team.does("make a service", lambda: make_pricing(project))
    team.does("make a resource", lambda: make_orders(project))
    team.does("make tasks", lambda: make_tasks(project))
    team.does("let the service call another", lambda: write(project, "calling"))
    team.does("add settings", lambda: add_settings(project))
    team.does("take files, ask a server", lambda: write(project, "edges"))
    team.does("take the demo out", lambda: remove_demo(project))
    release(upstream)
    team.does("take an update", lambda: update(project, upstream))


def make_pricing(project: Path) -> None:
    kit(project, "new-service", "pricing")
    write(project, "pricing")


def make_orders(project: Path) -> None:
    """A migration adds the column; it also runs backwards."""
    kit(project, "new-resource", "order")
    write(project, "order")
    make(project, "revision", "-m", "orders have a status and a total")
    make(project, "migrate")
    (first,) = project.glob("backend/alembic/versions/*_create_orders.py")
    (revision,) = [
        line.split('"')[1]
        for line in first.read_text().splitlines()
        if line.startswith("revision = ")
    ]
    make(project, "downgrade", revision)
    make(project, "migrate")


def make_tasks(project: Path) -> None:
    kit(project, "new-task", "expire-orders")
    kit(project, "new-task", "price-order")
    write(project, "tasks")


def add_settings(project: Path) -> None:
    """One declaration on each side; `make docs` writes the rest."""
    write(project, "settings")
    write_documents(project)
    example = (project / ".env.example").read_text()
    assert "SHOP_ORDER_SECONDS=86400" in example
    assert "PRICING_DISCOUNT=0.1" in example
    assert "  SHOP_ORDER_SECONDS:" in (project / "docker-compose.yml").read_text()


def remove_demo(project: Path) -> None:
    """The team's service no longer calls the demo."""
    own = "services/pricing/app/articles.py"
    shutil.copy(SNIPPETS / "pricing" / own, project / own)
    kit(project, "remove-demo")


def update(project: Path, upstream: Path) -> None:
    """The update adds what is new, and loses nothing but the demo."""
    sh(project, UPDATE)
    assert f"\n## {NEXT} - " in (project / "CHANGELOG-KIT.md").read_text()
    files = set(sh(upstream, "git ls-files").splitlines())
    lost = files - set(sh(project, "git ls-files").splitlines())
    assert {path for path in lost if not path.startswith(demo.OWN)} == set()


class Team:
    """The steps of the team, and its checks after each step."""

    def __init__(self, project: Path) -> None:
        self.project = project

    def does(self, what: str, step: Callable[[], object]) -> None:
        """Run one step, commit it and check it."""
        with timed(what):
            step()
            commit = f"git diff --cached --quiet || git commit -qm '{what}'"
            sh(self.project, f"git add --all; {commit}")
        with timed("  check and test"):
            side_by_side(lambda: check(self.project), self._test)
        with timed("  ask through nginx"):
            asked = [*own(self.project, "tests/e2e"), *THROUGH_NGINX]
            pytest_in(self.project, self.project, *asked)

    def _test(self) -> None:
        backend = self.project / "backend"
        mine = [*own(backend, "tests/unit"), *own(backend, "tests/integration")]
        pytest_in(backend, self.project, *BACKEND, *mine, *ON_SERVERS)
        pytest_in(self.project, self.project, *LOOKING)
        if (service := self.project / "services/pricing").is_dir():
            pytest_in(service, self.project, "tests")


def own(folder: Path, tests: str) -> list[str]:
    """The test files that belong to the team, not to the kit."""
    kits = ROOT / "backend" if folder.name == "backend" else ROOT
    paths = [str(path.relative_to(folder)) for path in folder.glob(f"{tests}/test_*")]
    return [path for path in sorted(paths) if not (kits / path).exists()]


@contextmanager
def timed(what: str) -> Iterator[None]:
    """Print how long the block took."""
    began = time.monotonic()
    yield
    print(f"{time.monotonic() - began:5.0f} s  {what}", flush=True)
