"""The first two days of a team: what it makes of the kit, step by step.

What the team writes is in `two_days/`, a folder for each step: new files at their
places, and what it changes in others in `change.diff`. After every second step or so,
the team runs the checks, and the tests that see what has changed.
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

THROUGH_NGINX = ("pricing", "order", "order_tasks", "edges", "surroundings")
TASKS = ("test_expire_orders_task", "test_price_order_task", "test_migrations")


@pytest.mark.kit
@pytest.mark.timeout(1_100)
@in_the_kit
def test_two_days(tmp_path: Path) -> None:
    upstream = tmp_path / "upstream"
    upstream.mkdir()
    publish(copy_project(upstream))
    team = Team(begin(upstream, "clone"))
    team.does("take a name", lambda: sh(team.project, NAME))
    team.does("make a service", lambda: make_pricing(team.project))
    team.checks(whole=True)
    team.does("make a resource", lambda: make_orders(team.project))
    team.does("make tasks", lambda: make_tasks(team.project))
    team.checks(*TASKS)
    team.does("let the service call another", lambda: write(team.project, "calling"))
    team.does("add settings", lambda: add_settings(team.project))
    team.does("take files, ask a server", lambda: write(team.project, "edges"))
    team.checks(*TASKS, whole=True)
    team.asks(*THROUGH_NGINX, "schema")
    team.does("take the demo out", lambda: remove_demo(team.project))
    release(upstream)
    team.does("take an update", lambda: update(team.project, upstream))
    team.checks(*TASKS, whole=True)
    team.asks(*THROUGH_NGINX)


def make_pricing(project: Path) -> None:
    kit(project, "new-service", "pricing")
    write(project, "pricing")


def make_orders(project: Path) -> None:
    """The column comes by a migration that runs to and fro."""
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
    """Its service no longer calls what goes."""
    own = "services/pricing/app/articles.py"
    shutil.copy(SNIPPETS / "pricing" / own, project / own)
    kit(project, "remove-demo")


def update(project: Path, upstream: Path) -> None:
    """What is new comes, and nothing is lost but the demo."""
    sh(project, UPDATE)
    assert f"\n## {NEXT} - " in (project / "CHANGELOG-KIT.md").read_text()
    files = set(sh(upstream, "git ls-files").splitlines())
    lost = files - set(sh(project, "git ls-files").splitlines())
    assert {path for path in lost if not path.startswith(demo.OWN)} == set()


class Team:
    """What it does, and how it convinces itself that all is well."""

    def __init__(self, project: Path) -> None:
        self.project = project

    def does(self, what: str, step: Callable[[], object]) -> None:
        """One step, committed."""
        with timed(what):
            step()
            commit = f"git diff --cached --quiet || git commit -qm '{what}'"
            sh(self.project, f"git add --all; {commit}")

    def checks(self, *integration: str, whole: bool = False) -> None:
        """`make check`, and tests beside it. `whole` also runs those that look at
        manifests, containers and documents."""
        tests = [f"tests/integration/{name}.py" for name in integration]
        with timed("  check and test"):
            side_by_side(lambda: check(self.project), lambda: self._test(tests, whole))

    def _test(self, integration: list[str], whole: bool) -> None:
        backend = self.project / "backend"
        own = [f"tests/unit/{path.name}" for path in backend.glob("tests/unit/*order*")]
        pytest_in(backend, self.project, *BACKEND, *own, *integration)
        if whole:
            pytest_in(self.project, self.project, *LOOKING)
        pytest_in(self.project / "services/pricing", self.project, "tests")

    def asks(self, *tests: str) -> None:
        """The whole stack, through nginx."""
        paths = [f"tests/e2e/test_{name}.py" for name in tests]
        with timed("  ask through nginx"):
            pytest_in(self.project, self.project, *paths)


@contextmanager
def timed(what: str) -> Iterator[None]:
    """Print how long the block took."""
    began = time.monotonic()
    yield
    print(f"{time.monotonic() - began:5.0f} s  {what}", flush=True)
