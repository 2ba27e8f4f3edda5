"""The Job of the migrations ends, whatever happens: setup waits for it."""

import re

import pytest

from tests.unit.kubernetes.manifests import ALL, ROOT, one


def documented_minutes() -> int:
    text = (ROOT / "docs/DEPLOYMENT.md").read_text()
    (minutes,) = re.findall(r"The Job has (\d+) minutes", text)
    return int(minutes)


@pytest.mark.parametrize("overlay", ALL)
def test_a_migration_that_hangs_or_fails_ends(overlay: str) -> None:
    spec = one(overlay, "Job", "fastapi-migrations")["spec"]
    assert spec["activeDeadlineSeconds"] == 60 * documented_minutes()
    assert 1 <= spec["backoffLimit"] <= 6
    assert spec["template"]["spec"]["restartPolicy"] == "Never"
