"""The output on pages that show requests is what the system answers."""

import secrets
import shutil
from pathlib import Path

import pytest

from local.apps import ROOT
from local.stack import Stack
from tests.tour.pages import PAGES, mask, run

pytestmark = pytest.mark.skipif(not shutil.which("curl"), reason="curl is missing")


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_the_answers_are_those_of_the_page(
    page: Path, url: str, launched: Stack | None, request: pytest.FixtureRequest
) -> None:
    if launched:
        request.getfixturevalue("rabbitmq")  # or skip: over Redis nothing is measured
    # A system that was used before has log rows with the page's own request id.
    names = {"tour-1": f"tour-{secrets.token_hex(4)}"}
    for shown, real in run(page.read_text(), url, names):
        assert mask(real.output) == mask(shown.output), real.command
