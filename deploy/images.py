"""The images of others by digest: a tag can move to other content, a digest cannot.

    python3 -m deploy.images kustomize      for `images:` of a kustomization
    docker compose config --format json | python3 -m deploy.images compose > pinned.yml
    python3 -m deploy.images refresh        asks the registries again: `make pin-images`

`deploy/digests/Dockerfile` has the digests. The other files name tags, so an image that
is on a machine without a registry can be used.
"""

import argparse
import json
import re
import subprocess
import sys
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any, NamedTuple

ROOT = Path(__file__).resolve().parents[1]
DIGESTS = "deploy/digests/Dockerfile"

PLACES = (
    *("docker-compose*.yml", "deploy/compose/*.yml"),
    *("kit/templates/**/docker-compose.yml", "kit/templates/**/*.yaml"),
    *("**/Dockerfile", "**/*.Dockerfile", ".devcontainer/devcontainer.json"),
    *("backend/*.yaml", "deploy/**/*.yaml", "observability/*.yaml"),
    *("rabbitmq/**/*.yaml", "services/**/*.yaml"),
)
SKIPPED = {".git", ".local", ".venv", "node_modules"}
IMAGE = re.compile(
    r"^(?:FROM +(?:--\S+ +)?|[ -]*image: +| *\"image\": +\")"
    r"(?P<name>[^\s@:]+(?::\d+/[^\s@:]+)?):(?P<tag>[\w.-]+)(?=[\s\"]|$)",
    re.MULTILINE,
)
PINNED = re.compile(r"^FROM (?P<image>\S+:[\w.-]+)@(?P<digest>\S+)$", re.MULTILINE)
DIGEST = re.compile(r"sha256:[0-9a-f]{64}")


class Image(NamedTuple):
    """A mention of an image of others."""

    file: str
    name: str
    tag: str

    def __str__(self) -> str:
        return f"{self.name}:{self.tag}"


def images(root: Path = ROOT) -> Iterator[Image]:
    """Every image that a file names with a tag. Ours are built from this repository: a
    Dockerfile's label has their name."""
    texts = {file: file.read_text() for file in _files(root)}
    ours = set(re.findall(r'image\.title="(.+?)"', "\n".join(texts.values())))
    for file, text in texts.items():
        for found in IMAGE.finditer(text):
            if found["name"] not in ours:
                place = file.relative_to(root).as_posix()
                yield Image(place, found["name"], found["tag"])


def digests(root: Path = ROOT) -> dict[str, str]:
    """Image with its tag, and the digest of each."""
    text = (root / DIGESTS).read_text()
    return {found["image"]: found["digest"] for found in PINNED.finditer(text)}


def build_contexts(root: Path = ROOT) -> dict[str, str]:
    """What `docker buildx build --build-context` takes for the base images."""
    pinned = digests(root).items()
    return {image: f"docker-image://{image}@{digest}" for image, digest in pinned}


def override(project: Mapping[str, Any], root: Path = ROOT) -> dict[str, Any]:
    """A second compose file for `project`, which `docker compose config` printed."""
    pinned = digests(root)
    services: dict[str, Any] = {}
    for name, service in project["services"].items():
        if "build" in service:
            contexts = {"additional_contexts": build_contexts(root)}
            services[name] = {"build": contexts}
        elif digest := pinned.get(service["image"]):
            services[name] = {"image": f"{service['image']}@{digest}"}
    return {"services": services}


def for_kustomize(root: Path = ROOT) -> str:
    """The lines of `images:` for what the manifests run."""
    pinned = digests(root)
    run = {i.name: str(i) for i in images(root) if i.file.endswith(".yaml")}
    return "".join(
        f"  - {{name: {name}, digest: {pinned[image]}}}\n"
        for name, image in sorted(run.items())
    )


def refresh(digest_of: Callable[[str], str], root: Path = ROOT) -> list[str]:
    """Write the digests of all images; returns them. Writes none if one is missing."""
    named = sorted({str(i) for i in images(root) if i.file != DIGESTS})
    lines = [f"FROM {image}@{digest_of(image)}\n" for image in named]
    file = root / DIGESTS
    head = [line for line in file.read_text().splitlines(True) if line[0] == "#"]
    file.write_text("".join([*head, *lines]))
    return named


def ask_registry(name: str) -> str:
    """The digest of the image for all platforms. Raises SystemExit if there is none."""
    command = ["docker", "buildx", "imagetools", "inspect", name]
    try:
        result = subprocess.run(
            [*command, "--format", "{{.Manifest.Digest}}"],
            capture_output=True,
            text=True,
        )
    except FileNotFoundError:
        sys.exit("error: Docker is missing: https://docs.docker.com/get-docker/")
    digest = result.stdout.strip()
    if result.returncode or not DIGEST.fullmatch(digest):
        said = result.stderr.strip() or digest or "no answer"
        sys.exit(f"error: {name} has no digest, nothing was changed: {said}")
    return digest


def find_files(pattern: str, root: Path = ROOT) -> Iterator[Path]:
    """As ``Path.glob``, but not in the folders of tools, which may change meanwhile."""
    if not pattern.startswith("**/"):
        yield from root.glob(pattern)
        return
    yield from root.glob(pattern.removeprefix("**/"))
    for folder in root.iterdir():
        if folder.is_dir() and folder.name not in SKIPPED:
            yield from folder.glob(pattern)


def _files(root: Path) -> list[Path]:
    found = {file for place in PLACES for file in find_files(place, root)}
    return sorted(
        file for file in found if not SKIPPED & {*file.relative_to(root).parts}
    )


def main(arguments: list[str] | None = None) -> None:
    """Run the command."""
    parser = argparse.ArgumentParser(prog="deploy.images")
    parser.add_argument("command", choices=("kustomize", "compose", "refresh"))
    match parser.parse_args(arguments).command:
        case "kustomize":
            print(for_kustomize(), end="")
        case "compose":
            print(json.dumps(override(json.load(sys.stdin)), indent=2))
        case "refresh":
            for image in refresh(ask_registry):
                print(f"pinned {image}")


if __name__ == "__main__":
    main()
