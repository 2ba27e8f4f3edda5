"""`make release`: turns the unreleased changes into a version, with one commit and a
tag."""

import re
from datetime import date
from pathlib import Path

from kit import project
from kit.git import git, require_clean, succeeds
from kit.rename import CHANGELOG, KEPT, project_files, whole_words
from kit.tree import KitError, NotText, Tree

UNRELEASED = "## Unreleased\n"
BRANCH = "main"
# The version of the kit, which a project has in addition to its own.
OF_THE_KIT = "kit/__init__.py"

NUMBER = r"(0|[1-9]\d*)"
VERSION = re.compile(rf"{NUMBER}\.{NUMBER}\.{NUMBER}")
# Where the project's own version is written.
PLACES = (
    *('version = "{}"', '__version__ = "{}"', "VERSION={}", "VERSION:-{}"),
    *("`VERSION` | `{}`", "newTag: {}", "tag={}", "ref=v{}", "default {}"),
)

DONE = """Released {version}, as commit and tag v{version}. Publish both:
  git push --follow-tags"""


def release(root: Path, version: str) -> str:
    """Make the release; returns what was done, in words. Raises KitError."""
    tree = Tree(root)
    old = current_version(tree)
    _check(root, version, old)
    notes = _cut_changelog(tree, version)
    set_version(tree, old, version)
    if not project.is_renamed():
        text = tree.read(OF_THE_KIT).replace(f'"{old}"', f'"{version}"')
        tree.write(OF_THE_KIT, text)
    tree.apply()
    tag = ("tag", "--annotate", "--cleanup=verbatim", "--file=-", f"v{version}")
    try:
        git(root, "commit", "--quiet", "--all", "--message", f"Release {version}")
        git(root, *tag, text=f"v{version}\n\n{notes}\n")
    except KitError:
        git(root, "reset", "--quiet", "--hard")
        raise
    return DONE.format(version=version)


def current_version(tree: Tree) -> str:
    """The project's version. Raises KitError."""
    found = re.search(r'^version = "(.+)"$', tree.read("pyproject.toml"), re.MULTILINE)
    if not found:
        raise KitError("pyproject.toml has no version")
    return found[1]


def _check(root: Path, version: str, old: str) -> None:
    if not VERSION.fullmatch(version):
        raise KitError(
            f"{version!r} is not a version: give three numbers, VERSION=X.Y.Z"
        )
    if _numbers(version) < _numbers(old):
        raise KitError(f"{version} is older than the current version {old}")
    if succeeds(root, "rev-parse", "--verify", "--quiet", f"refs/tags/v{version}"):
        raise KitError(f"The tag v{version} already exists")
    if (branch := git(root, "branch", "--show-current")) != BRANCH:
        raise KitError(
            f"Release from the branch {BRANCH}; this is {branch or 'no branch'}"
        )
    require_clean(root)


def _numbers(version: str) -> tuple[int, ...]:
    return tuple(map(int, version.split(".")))


def _cut_changelog(tree: Tree, version: str) -> str:
    """Put the version's heading above the unreleased changes; returns those changes."""
    text = tree.read(CHANGELOG)
    if f"\n## {version} " in text:
        raise KitError(f"{CHANGELOG} already has {version}")
    head, found, rest = text.partition(UNRELEASED)
    notes = rest.partition("\n## ")[0].strip()
    if not found or not notes:
        raise KitError(f"{CHANGELOG} has nothing below {UNRELEASED.strip()!r}")
    today = date.today().isoformat()
    tree.write(CHANGELOG, f"{head}{UNRELEASED}\n## {version} - {today}\n{rest}")
    return notes


def set_version(tree: Tree, old: str, new: str) -> None:
    """Change the project's version wherever it is written."""
    images = {f"{image}:{{}}" for image in project.images(tree)}
    places = {*PLACES, *images}
    replaced = whole_words({each.format(old): each.format(new) for each in places})
    for path in project_files(tree):
        if path in KEPT or path == OF_THE_KIT:
            continue
        try:
            tree.write(path, replaced(tree.read(path)))
        except NotText:
            continue
