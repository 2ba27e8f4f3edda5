"""Every image of others has a digest or a reason; one command writes the digests."""

import re
import shutil
import tomllib
from fnmatch import fnmatch
from pathlib import Path

import pytest
import yaml

from deploy import images
from local.apps import ROOT

VERSION = tomllib.loads((ROOT / "backend/pyproject.toml").read_text())["project"][
    "version"
]
DIGEST = "sha256:" + "0123456789abcdef" * 4


def test_each_image_has_a_digest_or_a_reason() -> None:
    reasons = images.listed()
    for image in images.images():
        if image.digest is None:
            assert reasons.get(image.name), f"{image.file}: {image.name} has no digest"
        else:
            assert images.DIGEST.fullmatch(image.digest), image
            assert image.name not in reasons, f"{image.name} is pinned: {images.LIST}"


def test_a_reason_has_an_image() -> None:
    assert set(images.listed()) <= {image.name for image in images.images()}


def test_a_name_leads_to_one_digest() -> None:
    found: dict[str, set[str | None]] = {}
    for image in images.images():
        found.setdefault(image.name, set()).add(image.digest)
    assert all(len(digests) == 1 for digests in found.values()), found


def test_no_image_is_overlooked() -> None:
    """Of those that the files name: an image without a tag, or in another file."""
    known = {image.file for image in images.images()}
    for pattern in ("**/Dockerfile*", "**/*.y*ml"):
        for file in images.find_files(pattern):
            name = file.relative_to(ROOT)
            if images.SKIPPED & {*name.parts} or name.parts[0] == ".github":
                continue
            text = file.read_text()
            named = re.findall(r"^FROM +(\S+)|^[ -]*image: +(\S+)", text, re.MULTILINE)
            for image in (each[0] or each[1] for each in named):
                ours = "${CONTAINER_PREFIX" in image or image.endswith(f":{VERSION}")
                assert ours or ":" in image, f"{name}: {image} has no tag"
                assert ours or str(name) in known, f"{name}: {image} is overlooked"


def test_the_command_pins_each_image_once_and_empties_the_list(tmp_path: Path) -> None:
    for image in {each.file for each in images.images()} | {images.LIST}:
        target = tmp_path / image
        target.parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(ROOT / image, target)
    asked: list[str] = []

    def digest_of(name: str) -> str:
        asked.append(name)
        return DIGEST

    images.pin(digest_of, tmp_path)
    assert len(asked) == len(set(asked)) > 3
    found = list(images.images(tmp_path))
    assert {image.name for image in found} == set(asked)
    assert all(image.digest == DIGEST for image in found)
    assert images.listed(tmp_path) == {}
    # Our own are built, and a second run changes nothing.
    text = (tmp_path / "docker-compose.yml").read_text()
    assert "image: ${CONTAINER_PREFIX:-}fastapi-starter-api\n" in text
    images.pin(digest_of, tmp_path)
    assert (tmp_path / "docker-compose.yml").read_text() == text


def test_an_image_without_a_digest_changes_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    docker = tmp_path / "docker"
    docker.write_text("#!/bin/sh\necho 'no such image' >&2\nexit 1\n")
    docker.chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}:/usr/bin:/bin")
    file = tmp_path / "backend" / "Dockerfile"
    file.parent.mkdir()
    file.write_text("FROM python:3.12-slim AS build\n")
    with pytest.raises(SystemExit, match="python:3.12-slim has no digest.*no such"):
        images.pin(images.ask_registry, tmp_path)
    assert file.read_text() == "FROM python:3.12-slim AS build\n"


def test_dependabot_looks_where_images_and_actions_are() -> None:
    updates = yaml.safe_load((ROOT / ".github/dependabot.yml").read_text())["updates"]
    folders: dict[str, list[str]] = {}
    for each in updates:
        found = each.get("directories") or [each["directory"]]
        folders[each["package-ecosystem"]] = found
        assert each["cooldown"]["default-days"] >= 7
        for group in each["groups"].values():
            assert "major" not in group["update-types"], "comes alone, to be read"
    assert set(folders) == {
        *("docker", "docker-compose", "github-actions", "npm", "pip"),
    }
    for file in ROOT.glob("tests/*/package.json"):
        assert f"/{file.parent.relative_to(ROOT)}" in folders["npm"]
    for image in images.images():
        if image.file.startswith(".devcontainer/"):
            continue  # Dependabot updates no image there
        place = "/" + Path(image.file).parent.as_posix().removeprefix(".")
        kind = "docker-compose" if "docker-compose" in image.file else "docker"
        assert any(fnmatch(place, each) for each in folders[kind]), image.file
