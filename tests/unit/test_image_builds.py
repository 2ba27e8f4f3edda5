"""Images get what their Dockerfiles ask for, and say what they are; containers get
memory that a process can live with."""

import re
from pathlib import Path
from typing import Any

import pytest
import yaml

from local.apps import ROOT

FILES = sorted(ROOT.glob("docker-compose*.yml"))
SERVICES: dict[str, Any] = {
    f"{file.name}: {name}": service
    for file in FILES
    for name, service in yaml.safe_load(file.read_text())["services"].items()
}
BUILT = {name: service for name, service in SERVICES.items() if "build" in service}
DOCKERFILES = [
    path
    for place in ("*", "services/*", "deploy/ha/*", "kit/templates/*/services/*")
    for path in sorted(ROOT.glob(f"{place}/Dockerfile"))
]


def dockerfile(build: dict[str, Any]) -> Path:
    path: str = build.get("dockerfile", "Dockerfile")
    context: str = build["context"]
    return ROOT / context / path


@pytest.mark.parametrize("name", BUILT)
def test_a_build_is_given_every_argument_of_its_dockerfile(name: str) -> None:
    build = BUILT[name]["build"]
    wanted = re.findall(r"^ARG (\w+)", dockerfile(build).read_text(), re.MULTILINE)
    assert wanted and set(wanted) <= set(build.get("args", {}))


@pytest.mark.parametrize("path", DOCKERFILES, ids=lambda path: path.parent.name)
def test_an_image_says_its_version_and_its_revision(path: Path) -> None:
    text = path.read_text()
    assert 'org.opencontainers.image.version="$VERSION"' in text
    assert 'org.opencontainers.image.revision="$REVISION"' in text


def test_every_limit_of_memory_has_a_unit_and_room_for_a_process() -> None:
    limits = [s["mem_limit"] for s in SERVICES.values() if "mem_limit" in s]
    assert limits
    for limit in limits:
        unit = {"m": 1, "g": 1024}[str(limit)[-1]]
        assert 16 <= int(limit[:-1]) * unit <= 8192


def test_a_hang_is_noticed_within_a_minute() -> None:
    """The age of a heartbeat is in minutes."""
    texts = [path.read_text() for path in (*DOCKERFILES, *FILES)]
    ages = re.findall(r"-mmin -([\d.]+)", "\n".join(texts))
    assert ages
    assert all(0.1 <= float(age) <= 1 for age in ages)
