"""Containers start in the order of their dependencies."""

import re
from pathlib import Path
from typing import Any

import pytest
import yaml

from local.apps import ROOT

SERVICES = yaml.safe_load((ROOT / "docker-compose.yml").read_text())["services"]
FILES = [*ROOT.glob("docker-compose*.yml"), *ROOT.glob("deploy/compose/*.yml")]
# Migrations and certificates end; nobody waits for telemetry.
OTHERS = {
    "migrations": "service_completed_successfully",
    "certificates": "service_completed_successfully",
    "otel-collector": "service_started",
}


@pytest.mark.parametrize("file", FILES, ids=lambda file: file.name)
def test_each_waits_until_what_it_needs_works(file: Path) -> None:
    own = yaml.safe_load(file.read_text())["services"]
    # What a file says of a service comes on top of docker-compose.yml.
    merged = {n: {**SERVICES.get(n, {}), **(own.get(n) or {})} for n in SERVICES | own}
    for name, service in merged.items():
        for other, given in service.get("depends_on", {}).items():
            expected = OTHERS.get(other, "service_healthy")
            # A Sentinel waits for Redis by itself: Redis may ask it first.
            if name.startswith("sentinel-"):
                expected = "service_started"
            assert given["condition"] == expected, f"{name} starts before {other}"
            if expected == "service_healthy":
                check = check_of(merged[other], merged)
                assert check, f"nothing tells that {other} works"


def check_of(service: dict[str, Any], services: dict[str, Any] = SERVICES) -> str:
    """Its health check, or that of its image, which one of the services builds; nothing
    without one."""
    own = service.get("healthcheck", {})
    if own.get("disable") or "test" in own:
        return " ".join(own.get("test", []))
    same = (e for e in services.values() if e.get("image") == service.get("image"))
    build = next((each["build"] for each in same if "build" in each), None)
    if build is None:
        return ""
    file = ROOT / build["context"] / build.get("dockerfile", "Dockerfile")
    found = re.search(r"^HEALTHCHECK [^[]*CMD (.*)$", file.read_text(), re.M)
    return found[1] if found else ""


def test_checks_look_at_the_file_that_is_touched() -> None:
    for name, service in SERVICES.items():
        for variable, file in (service.get("environment") or {}).items():
            if variable.endswith("HEARTBEAT_FILE"):
                assert re.search(rf"{file}\b", check_of(service)), name


def test_what_is_not_called_has_a_heartbeat() -> None:
    """The check of the image asks for HTTP, which only the API answers."""
    image = SERVICES["api"]["image"]
    users = [name for name, each in SERVICES.items() if each.get("image") == image]
    for name in users:
        if name not in ("api", "migrations"):
            assert "heartbeat" in check_of(SERVICES[name]), name


def test_all_that_use_the_tables_wait_for_them() -> None:
    image = SERVICES["migrations"]["image"]
    users = [name for name, each in SERVICES.items() if each.get("image") == image]
    assert len(users) > 3
    for name in users:
        if name != "migrations":
            assert "migrations" in SERVICES[name]["depends_on"], name
