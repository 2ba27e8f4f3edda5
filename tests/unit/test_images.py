"""Every image of others has a digest, which builds and deployments use."""

import json
import re
import shutil
import subprocess
import sys
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


def test_each_image_has_a_digest() -> None:
    pinned = images.digests()
    assert all(images.DIGEST.fullmatch(digest) for digest in pinned.values())
    named = {str(image): image.file for image in images.images()}
    assert set(pinned) == set(named), "`make pin-images` renews the list"


def test_a_digest_is_on_no_line_that_is_not_read() -> None:
    lines = (ROOT / images.DIGESTS).read_text().splitlines()
    assert len(images.digests()) == sum(not line.startswith("#") for line in lines)


def test_no_image_is_overlooked() -> None:
    """Of those that the files name: an image without a tag, or in another file."""
    known = {image.file for image in images.images()} | {images.DIGESTS}
    for pattern in ("**/Dockerfile*", "**/*.y*ml"):
        for file in images.find_files(pattern):
            name = file.relative_to(ROOT)
            if images.SKIPPED & {*name.parts} or name.parts[0] == ".github":
                continue
            text = file.read_text()
            named = re.findall(
                r"^FROM +(\S+)|^[ -]*image(?:Name)?: +(\S+)", text, re.MULTILINE
            )
            for image in (each[0] or each[1] for each in named):
                ours = "${CONTAINER_PREFIX" in image or image.endswith(f":{VERSION}")
                pinned = "@sha256:" in image
                assert ours or ":" in image, f"{name}: {image} has no tag"
                known_or_ours = ours or pinned or str(name) in known
                assert known_or_ours, f"{name}: {image} is overlooked"


def test_manifests_get_the_digests_of_what_they_run() -> None:
    lines = yaml.safe_load("images:\n" + images.for_kustomize())["images"]
    found = {line["name"]: line["digest"] for line in lines}
    run = {image for image in images.images() if image.file.endswith(".yaml")}
    assert set(found) == {image.name for image in run} > {"postgres", "redis"}
    # Kustomize knows no tags: two of one image would get the same digest.
    assert len({str(image) for image in run}) == len(found)
    for image in run:
        assert found[image.name] == images.digests()[str(image)]


def test_containers_get_the_digests(tmp_path: Path) -> None:
    project = {
        "services": {
            "api": {"image": "own", "build": {"context": "."}},
            "redis": {"image": "redis:7-alpine"},
            "mail": {"image": "of-the-project:1"},
        }
    }
    digest = images.digests()["python:3.12-slim"]
    command = [sys.executable, "-m", "deploy.images", "compose"]
    result = subprocess.run(
        command, cwd=ROOT, input=json.dumps(project), capture_output=True, text=True
    )
    services = json.loads(result.stdout)["services"]
    assert set(services) == {"api", "redis"}
    redis = images.digests()["redis:7-alpine"]
    assert services["redis"] == {"image": f"redis:7-alpine@{redis}"}
    contexts = services["api"]["build"]["additional_contexts"]
    base = f"docker-image://python:3.12-slim@{digest}"
    assert contexts["python:3.12-slim"] == base


def test_a_release_builds_on_the_digests() -> None:
    text = (ROOT / ".github/workflows/release.yml").read_text()
    assert "python3 -m deploy.images compose >pinned.yml" in text
    assert re.search(r"buildx bake .*\\\n +--file pinned\.yml ", text)


def test_the_command_asks_once_for_each_image(tmp_path: Path) -> None:
    for image in {each.file for each in images.images()} | {images.DIGESTS}:
        target = tmp_path / image
        target.parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(ROOT / image, target)
    with (tmp_path / images.DIGESTS).open("a") as file:
        file.write(f"FROM no-longer:named@{DIGEST}\n")
    asked: list[str] = []

    def digest_of(name: str) -> str:
        asked.append(name)
        return DIGEST

    images.refresh(digest_of, tmp_path)
    assert len(asked) == len(set(asked)) > 3
    assert images.digests(tmp_path) == dict.fromkeys(asked, DIGEST)
    assert set(asked) == set(images.digests())
    assert (tmp_path / images.DIGESTS).read_text().startswith("# The images of others")


def test_an_image_without_a_digest_changes_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    docker = tmp_path / "docker"
    docker.write_text("#!/bin/sh\necho 'no such image' >&2\nexit 1\n")
    docker.chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}:/usr/bin:/bin")
    for name, text in (
        ("backend/Dockerfile", "FROM python:3.12-slim AS build\n"),
        (images.DIGESTS, f"FROM python:3.12-slim@{DIGEST}\n"),
    ):
        (tmp_path / name).parent.mkdir(parents=True)
        (tmp_path / name).write_text(text)
    with pytest.raises(SystemExit, match="python:3.12-slim has no digest.*no such"):
        images.refresh(images.ask_registry, tmp_path)
    assert images.digests(tmp_path) == {"python:3.12-slim": DIGEST}


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
