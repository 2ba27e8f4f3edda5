"""`make rename`: gives the project another name everywhere."""

import re
import subprocess
from collections.abc import Iterator, Mapping

from kit import project
from kit.names import Name, Rename
from kit.python import formatted
from kit.tree import SKIPPED, KitError, NotText, Tree

# Names of containers, Kubernetes objects and lines of code contain the name and more.
LONGEST = 20

# A project writes its own changelog next to the kit's, so updates do not conflict.
CHANGELOG, CHANGELOG_OF_KIT = "CHANGELOG.md", "CHANGELOG-KIT.md"
EMPTY = "# Changelog\n\n## Unreleased\n"
LINK = "[{0}](../{0})"
UPGRADING = "docs/UPGRADING.md"

# They describe the kit, or the project's past.
KEPT = {CHANGELOG, CHANGELOG_OF_KIT, "LICENSE"}

DONE = """Renamed the project to {kebab} in {files} files: queues, images, containers,
namespaces of Kubernetes and telemetry, titles, the database {snake}_db and its user
{snake}. Run `make test` to check it.

Not changed: .env, pictures, and the data of a stack that has already run. Look for old
names in .env. If `make run` ran before, run `make clean`: it removes the local stack's
data, which the new name cannot open. To run the containers of two projects on one
machine, give each its own ports: see ..._PORT in .env.example."""


def rename(tree: Tree, name: Name) -> str:
    """Rename the project; returns what was done, in words. Raises KitError."""
    if len(name.kebab) > LONGEST:
        raise KitError(f"{name.kebab} is too long: at most {LONGEST} characters")
    renamed = whole_words(project.spellings(tree, name))
    project.rename_containers_of_others(tree, name)
    for path in project_files(tree):
        if path in KEPT:
            continue
        try:
            text = tree.read(path)
        except NotText:
            continue
        new = renamed(text)
        if new != text:  # lines have other lengths now
            tree.write(path, formatted(tree.root, path, new))
    if not project.is_renamed():
        _begin_changelog(tree)
    changed = len(tree.changes)
    if not changed:
        raise KitError(f"The project's name is already {name.kebab}")
    tree.apply()
    return DONE.format(files=changed, kebab=name.kebab, snake=name.snake)


def _begin_changelog(tree: Tree) -> None:
    tree.write(CHANGELOG_OF_KIT, tree.read(CHANGELOG))
    tree.write(CHANGELOG, EMPTY)
    old, new = LINK.format(CHANGELOG), LINK.format(CHANGELOG_OF_KIT)
    tree.write(UPGRADING, tree.read(UPGRADING).replace(old, new))


def whole_words(words: Mapping[str, str]) -> Rename:
    """Replaces texts, but not inside a word, nor inside a word with hyphens such as the
    anchor of a heading."""

    def pattern(text: str) -> str:
        before = r"(?<!\w)(?<!\w-)" if text[0].isalnum() else "(?<!#)"
        after = r"(?!\w)" if text[-1].isalnum() else ""
        return f"{before}{re.escape(text)}{after}"

    longest_first = sorted(words, key=len, reverse=True)
    found = re.compile("|".join(map(pattern, longest_first)))

    def renamed(text: str) -> str:
        if not any(word in text for word in words):  # which is much faster
            return text
        return found.sub(lambda match: words[match[0]], text)

    return renamed


def project_files(tree: Tree) -> Iterator[str]:
    """The files that git would keep; without git, all except those that never
    belong."""
    command = ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"]
    try:
        result = subprocess.run(command, cwd=tree.root, capture_output=True, text=True)
        listed = result.stdout.split("\0") if result.returncode == 0 else []
    except FileNotFoundError:
        listed = []
    paths = [path for path in listed if path] or list(tree.files("."))
    for path in paths:
        if (tree.root / path).is_file() and not SKIPPED & set(path.split("/")):
            yield path
