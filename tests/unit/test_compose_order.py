"""Containers start in the order of their dependencies."""

import yaml

from local.apps import ROOT

SERVICES = yaml.safe_load((ROOT / "docker-compose.yml").read_text())["services"]
# Migrations end; nobody waits for telemetry.
OTHERS = {
    "migrations": "service_completed_successfully",
    "otel-collector": "service_started",
}


def test_each_waits_until_what_it_needs_works() -> None:
    for name, service in SERVICES.items():
        for other, given in service.get("depends_on", {}).items():
            expected = OTHERS.get(other, "service_healthy")
            assert given["condition"] == expected, f"{name} starts before {other}"


def test_all_that_use_the_tables_wait_for_them() -> None:
    image = SERVICES["migrations"]["image"]
    users = [name for name, each in SERVICES.items() if each.get("image") == image]
    assert len(users) > 3
    for name in users:
        if name != "migrations":
            assert "migrations" in SERVICES[name]["depends_on"], name
