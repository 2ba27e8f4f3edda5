"""A setting of your own: declare it, and follow the messages of the tests."""

import os
import re
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from kit import commands
from kit.tests.copies import SERVICE

TESTS = "tests/unit/test_settings_files.py"
CONFIG = "backend/app/core/config.py"
GROUP = "backend/app/core/gift_settings.py"
GIFTS = '''"""What gifts come in."""

from pydantic import Field, SecretStr
from pydantic_settings import SettingsConfigDict

from chassis.environment import Group


class GiftSettings(Group):
    """Gifts."""

    model_config = SettingsConfigDict(env_prefix="GIFT_")

    paper: str = Field("blue")
    key: SecretStr | None = Field(None, description="Opens the shop of papers")
'''
IMPORT = "from app.core.gift_settings import GiftSettings"
FIELD = "gift: GiftSettings = Field(default_factory=GiftSettings)"
OWN = '''"""What the service reads."""

from pydantic import Field

from chassis.settings import ServiceSettings


class TrialPriceSettings(ServiceSettings):
    trial_currency: str = Field(description="The currency of prices")
'''

Say = Callable[..., str]

# Each runs the tests of settings in a copy, several times.
pytestmark = [pytest.mark.kit, pytest.mark.timeout(600)]


@pytest.fixture
def say(project: Path) -> Say:
    """What the setting tests report in the copy; empty if they pass."""

    def say(**env: str) -> str:
        paths = [project / "backend", project, project / "packages/chassis/src"]
        result = subprocess.run(
            [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", TESTS],
            cwd=project / "backend",
            env={**os.environ, "PYTHONPATH": os.pathsep.join(map(str, paths)), **env},
            capture_output=True,
            text=True,
        )
        return "" if result.returncode == 0 else result.stdout + result.stderr

    return say


def edit(file: Path, before: str, after: str) -> None:
    text = file.read_text()
    assert before in text
    file.write_text(text.replace(before, after))


def test_a_group_is_added_renamed_and_removed(project: Path, say: Say) -> None:
    config, group = project / CONFIG, project / GROUP
    example = project / ".env.example"
    untouched = config.read_text(), example.read_text()
    group.write_text(GIFTS)
    edit(
        config,
        "from app.core.redis_settings",
        f"{IMPORT}\nfrom app.core.redis_settings",
    )
    edit(config, "    queues: QueueNames", f"    {FIELD}\n    queues: QueueNames")
    where = f"declared in {GROUP} (GiftSettings)"
    said = say()
    assert f"GIFT_PAPER, {where}, has no description" in said
    for file in (".env.example", "docs/CONFIGURATION.md", "docker-compose.yml"):
        sentence = f"GIFT_KEY is {where}, but {file} lacks it: run `make docs`."
        assert sentence in said
    edit(group, 'Field("blue")', 'Field("blue", description="Around a gift")')
    assert say(UPDATE_DOCS="1") == say() == ""
    added = "# Around a gift\nGIFT_PAPER=blue\n# Opens the shop of papers\n# GIFT_KEY="
    assert added in example.read_text()
    assert "# GIFT_KEY_FILE=" in example.read_text()
    assert "  GIFT_PAPER:\n" in (project / "docker-compose.yml").read_text()

    settings = project / "backend/backend-config.env"
    settings.write_text(settings.read_text() + "GIFT_PAPER=red\n")
    edit(group, "    paper: str", "    ribbon: str")
    said = say()
    assert ".env.example has GIFT_PAPER, which no class of settings declares" in said
    assert "backend/backend-config.env sets GIFT_PAPER, which no class" in said
    edit(settings, "GIFT_PAPER=red\n", "")
    assert say(UPDATE_DOCS="1") == say() == ""

    config.write_text(untouched[0])
    group.unlink()
    assert "GIFT_RIBBON" in say()
    assert say(UPDATE_DOCS="1") == say() == ""
    assert example.read_text() == untouched[1]


def test_a_setting_of_a_service(project: Path, say: Say) -> None:
    assert commands.run("new-service", [SERVICE], project) == 0
    folder = project / "services/trial_price"
    (folder / "app/trial_price_settings.py").write_text(OWN)
    said = say()
    where = "services/trial_price/app/trial_price_settings.py (TrialPriceSettings)"
    assert f"TRIAL_CURRENCY is declared in {where}" in said
    told = "write `TRIAL_CURRENCY:` into `environment` of "
    assert re.search(f"{told}[a-z-]*trial-price-service", said)
    assert "trial_price-config.env does not set it" in said
    (config,) = folder.glob("*-config.env")
    config.write_text(config.read_text() + "TRIAL_CURRENCY=EUR\n")
    queue = "      QUEUE_NAME: ${TRIAL_PRICE_QUEUE_NAME"
    composed = project / "docker-compose.yml"
    edit(composed, queue, f"      TRIAL_CURRENCY: EUR\n{queue}")
    assert say(UPDATE_DOCS="1") == say() == ""
    assert "# TRIAL_CURRENCY=" in (project / ".env.example").read_text()
