"""The Job of the migrations ends, whatever happens: setup waits for it."""

import pytest

from tests.unit.kubernetes.manifests import ALL, one


@pytest.mark.parametrize("overlay", ALL)
def test_a_migration_that_hangs_or_fails_ends(overlay: str) -> None:
    spec = one(overlay, "Job", "fastapi-migrations")["spec"]
    assert 60 <= spec["activeDeadlineSeconds"] <= 3600
    assert 1 <= spec["backoffLimit"] <= 6
    assert spec["template"]["spec"]["restartPolicy"] == "Never"
