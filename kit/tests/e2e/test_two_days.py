"""The first two days of a team: what it makes of the kit, step by step.

What the team writes is in `two_days/`, a folder for each step: new files at their
places, and what it changes in others in `change.diff`. After each step the checks are
well, and the tests that see what has changed.
"""

import shutil
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from kit import service
from kit.commands import ROOT
from kit.project import is_renamed
from kit.tests.copies import HAS_DEMO, copy_project
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
from kit.tree import Tree

SNIPPETS = Path(__file__).with_name("two_days")
IS_TAKEN = "pricing" in service.registered(Tree(ROOT))

THROUGH_NGINX = ("pricing", "order", "order_tasks", "edges", "surroundings")


@pytest.mark.kit
@pytest.mark.skipif(is_renamed() or not HAS_DEMO or IS_TAKEN, reason="this is no kit")
def test_two_days(tmp_path: Path) -> None:
    upstream = tmp_path / "upstream"
    upstream.mkdir()
    publish(copy_project(upstream))
    team = Team(begin(upstream, "clone"))
    team.does("takes a name", lambda: sh(team.project, NAME), whole=True)
    team.does("makes a service", lambda: make_pricing(team), whole=True)
    team.asks("pricing")
    team.does("makes a resource", lambda: make_orders(team), "test_migrations")
    tasks = ("test_expire_orders_task", "test_price_order_task", "test_migrations")
    team.does("makes tasks", lambda: make_tasks(team), *tasks)
    team.does("lets its service call another", lambda: team.writes("calling"))
    team.does("adds settings", lambda: add_settings(team), *tasks, whole=True)
    team.does("takes files, asks a server", lambda: team.writes("edges"))
    team.asks(*THROUGH_NGINX, "schema")
    team.does("takes the demo out", lambda: remove_demo(team), whole=True)
    team.asks(*THROUGH_NGINX)
    release(upstream)
    team.does("takes an update", lambda: update(team), *tasks, whole=True)
    team.asks(*THROUGH_NGINX)


def make_pricing(team: "Team") -> None:
    kit(team.project, "new-service", "pricing")
    team.writes("pricing")


def make_orders(team: "Team") -> None:
    """The column comes by a migration that runs to and fro."""
    kit(team.project, "new-resource", "order")
    team.writes("order")
    make(team.project, "revision", "-m", "orders have a status and a total")
    make(team.project, "migrate")
    (first,) = team.project.glob("backend/alembic/versions/*_create_orders.py")
    (revision,) = [
        line.split('"')[1]
        for line in first.read_text().splitlines()
        if line.startswith("revision = ")
    ]
    make(team.project, "downgrade", revision)
    make(team.project, "migrate")


def make_tasks(team: "Team") -> None:
    kit(team.project, "new-task", "expire-orders")
    kit(team.project, "new-task", "price-order")
    team.writes("tasks")


def add_settings(team: "Team") -> None:
    """One declaration on each side; `make docs` writes the rest."""
    team.writes("settings")
    write_documents(team.project)
    example = (team.project / ".env.example").read_text()
    assert "SHOP_ORDER_SECONDS=86400" in example
    assert "PRICING_DISCOUNT=0.1" in example
    assert "  SHOP_ORDER_SECONDS:" in (team.project / "docker-compose.yml").read_text()


def remove_demo(team: "Team") -> None:
    """Its service no longer calls what goes."""
    own = "services/pricing/app/articles.py"
    shutil.copy(SNIPPETS / "pricing" / own, team.project / own)
    kit(team.project, "remove-demo")


def update(team: "Team") -> None:
    sh(team.project, UPDATE)
    assert f"\n## {NEXT} - " in (team.project / "CHANGELOG-KIT.md").read_text()


class Team:
    """What it does, and how it convinces itself that all is well."""

    def __init__(self, project: Path) -> None:
        self.project = project

    def does(
        self,
        what: str,
        step: Callable[[], object],
        *integration: str,
        whole: bool = False,
    ) -> None:
        """A step, which is checked, tested and committed. `whole` also runs what looks
        at manifests, containers and documents."""
        began = time.monotonic()
        step()
        sh(self.project, "git add --all")
        tests = [f"tests/integration/{name}.py" for name in integration]
        side_by_side(lambda: check(self.project), lambda: self._test(tests, whole))
        sh(self.project, f"git diff --cached --quiet || git commit -qm '{what}'")
        print(f"{time.monotonic() - began:5.0f} s  {what}")

    def writes(self, step: str) -> None:
        """What a folder of snippets has, at its places."""
        folder = SNIPPETS / step
        for path in folder.rglob("*"):
            if path.is_file() and path.suffix in (".py", ".md"):
                place = self.project / path.relative_to(folder)
                place.parent.mkdir(parents=True, exist_ok=True)
                shutil.copyfile(path, place)
        if (change := folder / "change.diff").exists():
            sh(self.project, f"git apply -p0 {change}")

    def _test(self, integration: list[str], whole: bool) -> None:
        backend = self.project / "backend"
        own = [f"tests/unit/{path.name}" for path in backend.glob("tests/unit/*order*")]
        pytest_in(backend, self.project, *BACKEND, *own, *integration)
        if whole:
            pytest_in(self.project, self.project, *LOOKING)
        pricing = self.project / "services/pricing"
        if pricing.exists():
            pytest_in(pricing, self.project, "tests")

    def asks(self, *tests: str) -> None:
        """The whole stack, through nginx."""
        began = time.monotonic()
        paths = [f"tests/e2e/test_{name}.py" for name in tests]
        pytest_in(self.project, self.project, *paths)
        print(f"{time.monotonic() - began:5.0f} s  asks through nginx")
