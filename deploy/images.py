"""Pins the images of others by digest: `make pin-images`.

    python3 -m deploy.images

Asks the registries for the digest behind each tag and writes it after the tag, in
Dockerfiles, compose files and manifests. A tag can be moved to other content, a digest
cannot. Dependabot then updates both.
"""

import re
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import NamedTuple

ROOT = Path(__file__).resolve().parents[1]
LIST = "deploy/images-without-digest.txt"

PLACES = (
    *(
        "docker-compose*.yml",
        "deploy/compose/*.yml",
        "kit/templates/**/docker-compose.yml",
    ),
    *("**/Dockerfile", "**/*.Dockerfile", ".devcontainer/devcontainer.json"),
    *(
        "backend/*.yaml",
        "deploy/**/*.yaml",
        "observability/*.yaml",
        "rabbitmq/**/*.yaml",
    ),
    *("services/**/*.yaml", "kit/templates/**/*.yaml"),
)
SKIPPED = {".git", ".local", ".venv", "node_modules"}
IMAGE = re.compile(
    r"^(?P<before>FROM +(?:--\S+ +)?|[ -]*image: +| *\"image\": +\")"
    r"(?P<name>[^\s@:]+(?::\d+/[^\s@:]+)?):(?P<tag>[\w.-]+)"
    r"(?:@(?P<digest>[\w:]+))?(?=[\s\"]|$)",
    re.MULTILINE,
)
DIGEST = re.compile(r"sha256:[0-9a-f]{64}")


class Image(NamedTuple):
    """A mention of an image of others."""

    file: str
    name: str  # with its tag
    digest: str | None


def images(root: Path = ROOT) -> Iterator[Image]:
    """Every image that a file names with a tag. Ours are built from this repository: a
    Dockerfile's label has their name."""
    texts = {file: file.read_text() for file in _files(root)}
    ours = set(re.findall(r'image\.title="(.+?)"', "\n".join(texts.values())))
    for file, text in texts.items():
        for found in IMAGE.finditer(text):
            if found["name"] not in ours:
                place = file.relative_to(root).as_posix()
                yield Image(place, f"{found['name']}:{found['tag']}", found["digest"])


def listed(root: Path = ROOT) -> dict[str, str]:
    """The images without a digest, and the reason for each."""
    lines = (root / LIST).read_text().splitlines()
    pairs = [line.partition(" ") for line in lines if line and line[0] != "#"]
    return {name: reason.strip() for name, _, reason in pairs}


def pin(digest_of: Callable[[str], str], root: Path = ROOT) -> list[str]:
    """Write the digests; returns the images. Changes no file if one has no digest."""
    names = sorted({image.name for image in images(root)})
    digests = {name: digest_of(name) for name in names}

    def with_digest(found: re.Match[str]) -> str:
        name = f"{found['name']}:{found['tag']}"
        if name not in digests:
            return found[0]
        return f"{found['before']}{name}@{digests[name]}"

    for file in _files(root):
        text = file.read_text()
        if (pinned := IMAGE.sub(with_digest, text)) != text:
            file.write_text(pinned)
    lines = (root / LIST).read_text().splitlines(keepends=True)
    kept = [line for line in lines if line.partition(" ")[0] not in digests]
    (root / LIST).write_text("".join(kept))
    return names


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


if __name__ == "__main__":
    for each in pin(ask_registry):
        print(f"pinned {each}")
