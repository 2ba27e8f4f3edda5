"""A copy gets another name, and nothing keeps the old one."""

import re
import subprocess
from pathlib import Path

import pytest
import yaml

from kit import commands
from kit.names import Name
from kit.rename import LONGEST, spellings
from kit.tests.copies import python, snapshot
from kit.tree import Tree

OLD = "|".join(map(re.escape, spellings(Name.parse("anything"))))


@pytest.fixture
def renamed(project: Path) -> Path:
    """A copy under git, with files that git ignores."""
    subprocess.run(["git", "init", "-q"], cwd=project, check=True)
    (project / ".env").write_text("DATABASE_URL=x/fastapi_db\n")
    assert commands.run("rename", ["acme-orders"], project) == 0
    return project


def test_no_old_name_is_left(renamed: Path) -> None:
    for path, (_, content) in snapshot(renamed).items():
        if path != ".env" and not path.endswith(".png"):
            assert not re.search(OLD, path)
            assert not re.search(OLD, content.decode()), path
    assert (renamed / ".env").read_text() == "DATABASE_URL=x/fastapi_db\n"


def test_the_new_ones_agree(renamed: Path) -> None:
    folder = renamed / "deploy/overlays/development"
    overlay = yaml.safe_load((folder / "kustomization.yaml").read_text())
    assert overlay["namespace"] == "acme-orders"
    assert {each["name"] for each in overlay["images"]} >= {
        "acme-orders-api",
        "data-service",
    }
    code = """
from app.application import create_app
from app.core.config import Settings
settings = Settings()
url = type(settings.database).model_fields["database_url"].default
print(create_app(settings).title, url.get_secret_value())
"""
    told = python(renamed / "backend", "-c", code)
    assert told.startswith("Acme orders ") and told.endswith("/acme_orders_db\n")


def test_the_longest_name_fits(project: Path) -> None:
    longest = f"{'a' * 9}-{'b' * (LONGEST - 10)}"
    assert commands.run("rename", [longest + "c"], project) == 1
    assert commands.run("rename", [longest], project) == 0
    for path in Tree(project).files("."):
        if path.endswith(".py") and "kit/templates" not in path:
            text = (project / path).read_text()
            assert max(map(len, text.splitlines()), default=0) <= 88, path


def test_it_can_be_renamed_again(renamed: Path) -> None:
    python(renamed, "-m", "kit", "rename", "shop")
    assert not re.search("acme", (renamed / "kubectl-setup.sh").read_text())
    settings = (renamed / "backend/app/core/config.py").read_text()
    assert "/shop_db" in settings


def test_services_come_under_the_new_name(renamed: Path) -> None:
    python(renamed, "-m", "kit", "new-service", "pricing")
    manifest = (renamed / "services/pricing/pricing-pod.yaml").read_text()
    assert "acme-orders/role: service" in manifest
