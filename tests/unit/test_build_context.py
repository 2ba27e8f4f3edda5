"""What Docker gets to build images from: .dockerignore, by Docker's rules."""

import re
from fnmatch import fnmatchcase
from pathlib import PurePath

import pytest

from local.apps import ROOT
from tests.unit.documents import tracked

RULES = [
    line
    for line in (ROOT / ".dockerignore").read_text().splitlines()
    if line and not line.startswith("#")
]
DOCKERFILES = [ROOT / "backend/Dockerfile", *ROOT.glob("services/*/Dockerfile")]
PRIVATE = [".env", "backend/.env", "services/shop/.env", ".local/tls/ca.key"]
PRIVATE += [".git/config", "backups/20261127T030405Z/base"]


def is_sent(path: str) -> bool:
    """The last rule that names it, or a folder of it, counts."""
    sent = True
    for rule in RULES:
        if matches(path, rule.removeprefix("!")):
            sent = rule.startswith("!")
    return sent


def matches(path: str, pattern: str) -> bool:
    parts, wanted = PurePath(path).parts, PurePath(pattern).parts
    starts = range(len(parts)) if wanted[0] == "**" else [0]
    wanted = wanted[1:] if wanted[0] == "**" else wanted
    return any(
        len(found := parts[n : n + len(wanted)]) == len(wanted)
        and all(map(fnmatchcase, found, wanted))
        for n in starts
    )


@pytest.mark.promise(
    "docs/CONTAINERS.md", "The root's `.dockerignore` admits only what images need."
)
def test_an_image_gets_code_and_nothing_else() -> None:
    sent = [path for path in tracked() if is_sent(path)]
    for path in sent:
        parts = PurePath(path).parts
        assert parts[0] in {"backend", "deploy", "packages", "services"}, path
        assert not {"tests", "docs"} & {*parts} and not path.endswith((".md", ".env"))
        assert "Dockerfile" not in path and not path.endswith(".yaml"), path
    for path in PRIVATE:
        assert not is_sent(path), path


@pytest.mark.parametrize("file", DOCKERFILES, ids=lambda file: file.parent.name)
def test_what_a_dockerfile_copies_is_sent(file: PurePath) -> None:
    text = (ROOT / file).read_text()
    for sources in re.findall(r"^COPY --chmod=\d+ (.+) \S+$", text, re.MULTILINE):
        for source in sources.split():
            found = [p for p in tracked() if p == source or p.startswith(f"{source}/")]
            assert any(map(is_sent, found)), source
    entry = {path for path in tracked() if path.endswith("main.py") and is_sent(path)}
    assert f"{file.parent.relative_to(ROOT)}/main.py" in entry
