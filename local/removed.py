"""Tests of a part go with it: pytest leaves out those of parts that a team has deleted.

Loaded by `addopts` in `pyproject.toml`, for every suite. Tests inside of a part need no
line here.
"""

from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent

# A part, and what tests it, or needs it, outside of its folder.
TESTS = {
    "bench": ("tests/unit/test_bench_page.py", "tests/unit/test_load_asyncio.py"),
    "deploy": (
        "backend/tests/integration/test_redis_rights.py",
        "local/tests/integration/test_backup.py",
        "local/tests/unit/test_backup.py",
        "local/tests/unit/test_ha.py",  # the lab has the servers' settings from there
        "tests/compose",
        "tests/e2e/data/test_backup.py",
        "tests/unit/kubernetes",
        "tests/unit/test_backup_script.py",
        "tests/unit/test_build_context.py",
        "tests/unit/test_compose_files.py",
        "tests/unit/test_compose_nodes.py",
        "tests/unit/test_compose_order.py",
        "tests/unit/test_gateway_script.py",
        "tests/unit/test_gateway_settings.py",
        "tests/unit/test_image_builds.py",
        "tests/unit/test_image_script.py",
        "tests/unit/test_images.py",
        "tests/unit/test_patroni.py",
        "tests/unit/test_push.py",
        "tests/unit/test_redis_node.py",
        "tests/unit/test_reload.py",
        "tests/unit/test_rolling_restart.py",
    ),
    "kit": (
        "local/tests/integration/test_isolation.py",
        "local/tests/integration/test_removed.py",
        "local/tests/integration/test_revisions.py",
        "local/tests/unit/test_prose.py",
        "tests/unit/test_build_context.py",
        "tests/unit/test_documented_values.py",
        "tests/unit/test_documents.py",
        "tests/unit/test_documents_path.py",
        "tests/unit/test_faults.py",
        "tests/unit/test_line_ends.py",
        "tests/unit/test_root.py",
        "tests/unit/test_scripts.py",
    ),
    "tests/chaos": (
        "tests/unit/test_chaos_events.py",
        "tests/unit/test_chaos_ledger.py",
        "tests/unit/test_ha_record.py",
    ),
    "tests/faults": ("tests/unit/test_faults.py",),
    "tests/ha": ("tests/unit/test_ha_record.py",),
    "tests/hostile": (
        "tests/e2e/data/test_event_loop.py",
        "tests/e2e/data/test_hostile.py",
        "tests/e2e/test_hostile_tokens.py",
    ),
    "tests/oidc": (
        "backend/tests/integration/test_certified_provider.py",
        "tests/e2e/test_sign_in.py",
    ),
}


def left_out(root: Path) -> set[Path]:
    """The tests of parts that are not there."""
    gone = [part for part in TESTS if not (root / part).exists()]
    return {root / test for part in gone for test in TESTS[part]}


def pytest_ignore_collect(collection_path: Path) -> bool | None:
    """Called by pytest for each file and folder; None leaves it to others."""
    return True if collection_path in left_out(ROOT) else None
