"""Builds the images of this project, pushes them, and writes down their digests.

    python3 -m deploy.push REGISTRY [--dirty] [--platforms linux/amd64,linux/arm64]

`make push REGISTRY=registry.example.org/shop` runs it. Each image gets two tags: the
project's version, and version and commit. The digests go into `deploy/pushed`, a
component of Kustomize; `kubectl-setup.sh --images` takes it, and so does an overlay.
"""

import argparse
import json
import os
import re
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

from deploy.images import build_contexts

ROOT = Path(__file__).resolve().parents[1]
PUSHED = "deploy/pushed/kustomization.yaml"
PLATFORMS = "linux/amd64,linux/arm64"
# Docker's own builder makes images for one platform only.
BUILDER = "several-platforms"
# The others have the repository as their context, because they contain the chassis.
OWN_CONTEXT = "rabbitmq"
STDERR = 2  # for Docker's output; standard output has the digests

HEAD = """\
# Written by `make push`: the images of {revision}.
# An overlay that lists this folder under `components` runs them.
apiVersion: kustomize.config.k8s.io/v1alpha1
kind: Component
images:
"""


class Built(NamedTuple):
    """An image to build."""

    name: str
    dockerfile: Path
    context: Path


class Revision(NamedTuple):
    """What is built. `tags` are those of each image; the first one names this commit
    alone."""

    version: str
    commit: str
    tags: tuple[str, ...]


class Refused(Exception):
    """Nothing was pushed; the message says why."""


def images_to_build(root: Path = ROOT) -> Iterator[Built]:
    """Every image of this project, by the label in its Dockerfile."""
    files = [root / "backend/Dockerfile", *root.glob("services/*/Dockerfile")]
    for file in sorted([*files, root / OWN_CONTEXT / "Dockerfile"]):
        (name,) = re.findall(r'image\.title="(.+?)"', file.read_text())
        own = file.parent.name == OWN_CONTEXT
        yield Built(name, file, file.parent if own else root)


def read_revision(root: Path, *, allows_dirty: bool) -> Revision:
    """Version and commit of the folder. Raises Refused if it is no commit's."""
    text = (root / "pyproject.toml").read_text()
    (version,) = re.findall(r'^version = "(.+)"$', text, re.MULTILINE)
    commit = _git(root, "rev-parse", "--short=12", "HEAD")
    changed = _git(root, "status", "--porcelain", "--", ".", f":!{PUSHED}")
    if commit is None or changed:
        what = "is not a clone of Git" if commit is None else "has uncommitted changes"
        if not allows_dirty:
            raise Refused(
                f"{root} {what}: nobody could build the same again. Commit first, or "
                "push all the same: ARGS=--dirty"
            )
        name = f"{version}-{commit or 'unknown'}-dirty"
        return Revision(version, commit or "unknown", (name,))
    released = _git(root, "rev-parse", "--short=12", f"refs/tags/v{version}^{{commit}}")
    own = f"{version}-{commit}"
    # The version's tag belongs to the release.
    tags = (own, version) if released in (None, commit) else (own,)
    return Revision(version, commit, tags)


def _git(root: Path, *words: str) -> str | None:
    command = ["git", "-C", str(root), *words]
    result = subprocess.run(command, capture_output=True, text=True)
    return result.stdout.strip() if result.returncode == 0 else None


def push(registry: str, revision: Revision, platforms: str, root: Path = ROOT) -> str:
    """Build and push all images; returns the text of `deploy/pushed`."""
    has_buildx = _succeeds("docker", "buildx", "version")
    if not has_buildx:
        _say(
            "docker buildx is missing: Docker 23 and newer cannot build without it, "
            "older ones build for this machine's platform only"
        )
    elif not _succeeds("docker", "buildx", "inspect", BUILDER):
        _docker("buildx", "create", "--name", BUILDER, "--driver", "docker-container")
    text = HEAD.format(revision=revision.tags[0])
    options = {
        image.name: _options(image, registry, revision)
        for image in images_to_build(root)
    }
    build = ["build"]
    if has_buildx:
        build = ["buildx", "build", "--builder", BUILDER, "--platform", platforms]
        for image, context in build_contexts(root).items():
            build += ["--build-context", f"{image}={context}"]
    # All are built before the first one is pushed: a failure leaves no half release.
    for own in options.values():
        _docker(*build, *own)
    for name, own in options.items():
        place = f"{registry}/{name}"
        if has_buildx:
            digest = _push_several([*build, *own])
        else:
            digest = _push(place, revision)
        _say(f"{place}@{digest}")
        text += f"  - {{name: {name}, newName: {place}, digest: {digest}}}\n"
    return text


def _options(image: Built, registry: str, revision: Revision) -> list[str]:
    arguments = {"VERSION": revision.version, "REVISION": revision.commit}
    for name in ("PIP_INDEX_URL", "CA_CERTIFICATES"):
        if value := os.environ.get(name):
            arguments[name] = value
    options = ["--file", str(image.dockerfile)]
    if network := os.environ.get("BUILD_NETWORK"):
        options += ["--network", network]
    for tag in revision.tags:
        options += ["--tag", f"{registry}/{image.name}:{tag}"]
    for name, value in arguments.items():
        options += ["--build-arg", f"{name}={value}"]
    return [*options, str(image.context)]


def _push_several(build: list[str]) -> str:
    """Push what the builder has in its cache: one image for all platforms."""
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "built.json"
        *command, context = build
        _docker(*command, "--push", "--metadata-file", str(file), context)
        return str(json.loads(file.read_text())["containerimage.digest"])


def _push(place: str, revision: Revision) -> str:
    for tag in revision.tags:
        _docker("push", f"{place}:{tag}")
    inspect = ["docker", "image", "inspect", "--format", "{{json .RepoDigests}}"]
    found = subprocess.run(
        [*inspect, f"{place}:{revision.tags[0]}"], capture_output=True, text=True
    )
    for each in json.loads(found.stdout or "[]"):
        name, _, digest = str(each).partition("@")
        if name == place:
            return digest
    raise Refused(f"{place} was pushed, and Docker knows no digest of it")


def _docker(*words: str) -> None:
    environment = {"DOCKER_BUILDKIT": "1", **os.environ}
    result = subprocess.run(["docker", *words], env=environment, stdout=STDERR)
    if result.returncode:
        raise Refused(f"docker {words[0]} failed; fix the cause and run this again")


def _succeeds(*command: str) -> bool:
    try:
        return subprocess.run(command, capture_output=True).returncode == 0
    except FileNotFoundError:
        raise Refused(
            "Docker is missing: https://docs.docker.com/get-docker/"
        ) from None


def _say(text: str) -> None:
    print(text, flush=True)


def main(arguments: list[str] | None = None, root: Path = ROOT) -> int:
    """Run the command; 1 if nothing, or not everything, was pushed."""
    parser = argparse.ArgumentParser(prog="deploy.push", description=__doc__)
    parser.add_argument("registry", help="such as registry.example.org/shop")
    parser.add_argument("--dirty", action="store_true", help="with uncommitted changes")
    parser.add_argument("--platforms", default=PLATFORMS, help="with docker buildx")
    given = parser.parse_args(arguments)
    registry = given.registry.rstrip("/")
    try:
        if not re.fullmatch(r"[\w.-]+(:\d+)?(/[\w./-]+)?", registry):
            raise Refused(
                "name the registry: make push REGISTRY=registry.example.org/shop"
            )
        revision = read_revision(root, allows_dirty=given.dirty)
        text = push(registry, revision, given.platforms, root)
    except Refused as error:
        print(f"error: {error}", file=sys.stderr)
        return 1
    file = root / PUSHED
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text(text)
    _say(f"Written: {PUSHED}. Deploy it: ./kubectl-setup.sh --images {PUSHED}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
