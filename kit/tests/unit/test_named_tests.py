"""The tests that `make kit` and the documents name exist. `make kit` would miss one
only after many minutes."""

import re

from kit.commands import ROOT
from kit.tests.e2e.runs import BACKEND, DOCUMENTS, LOOKING
from kit.tests.e2e.test_two_days import ON_SERVERS, THROUGH_NGINX
from kit.tests.team import in_the_kit
from local.removed import left_out
from local.tests.integration.test_isolation import MIGRATION, UNIT

PAGES = (".github/CONTRIBUTING.md", "docs/WHERE.md", "docs/TROUBLESHOOTING.md")
SHOWN = re.compile(r'ARGS="-k (\w+)')


@in_the_kit
def test_files() -> None:
    files = [ROOT / "backend" / path for path in BACKEND]
    files += [ROOT / "backend" / path for path in ON_SERVERS]
    files += [ROOT / path for path in (*LOOKING, *THROUGH_NGINX)]
    missing = [file for file in files if not file.is_file()]
    gone = left_out(ROOT)
    assert [file for file in missing if not {file, *file.parents} & gone] == []


@in_the_kit
def test_words() -> None:
    shown = [
        word for page in PAGES for word in SHOWN.findall((ROOT / page).read_text())
    ]
    assert shown
    folders = ("backend", "kit", "local", "packages", "tests")
    files = [path for each in folders for path in (ROOT / each).rglob("test_*.py")]
    names = [
        f"{path.stem} {name}" for path in files for name in _tests(path.read_text())
    ]
    for word in (*shown, *UNIT, MIGRATION, DOCUMENTS):
        assert any(word in name for name in names), word


def _tests(text: str) -> list[str]:
    return re.findall(r"^(?:async )?def (test_\w+)", text, re.MULTILINE)
