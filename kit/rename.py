"""`make rename`: everything that names the project gets another name."""

import re
import subprocess
from collections.abc import Iterator, Mapping

from kit import project
from kit.names import Name, Rename
from kit.python import formatted
from kit.tree import SKIPPED, KitError, NotText, Tree

# Containers, objects of Kubernetes and lines of code have the name and more in them.
LONGEST = 20

# A project writes its own, beside that of the kit; so updates and it do not meet.
CHANGELOG, CHANGELOG_OF_KIT = "CHANGELOG.md", "CHANGELOG-KIT.md"
EMPTY = "# Changelog\n\n## Unreleased\n"
LINK = "[{0}](../{0})"
UPGRADING = "docs/UPGRADING.md"

# They tell of the kit, or of the project as it was.
KEPT = {CHANGELOG, CHANGELOG_OF_KIT, "LICENSE"}

DONE = """{files} files say {kebab} now: queues, images, containers, namespaces of
Kubernetes and telemetry, titles, the database {snake}_db and its user {snake}.
`make test` tries it.

Not changed: .env, and the data of a stack that ran already. Look for old names in .env.
If `make run` ran before, run `make clean`: it throws away the local stack's data, which
only the old name opens. Pictures show the old title. Containers of two projects on one
machine need ports of their own: the ..._PORT of .env.example."""


def rename(tree: Tree, name: Name) -> str:
    """Rename everything; what was done, in words. Raises KitError."""
    if len(name.kebab) > LONGEST:
        raise KitError(f"{name.kebab} is too long: {LONGEST} characters at the most")
    renamed = whole_words(project.spellings(tree, name))
    project.rename_containers_of_others(tree, name)
    for path in project_files(tree):
        if path in KEPT:
            continue
        try:
            text = tree.read(path)
        except NotText:
            continue
        if renamed(text) != text:  # lines have other lengths now
            tree.write(path, formatted(tree.root, path, renamed(text)))
    if not project.is_renamed():
        _begin_changelog(tree)
    changed = len(tree.changes)
    if not changed:
        raise KitError(f"The project's name is {name.kebab} already")
    tree.apply()
    return DONE.format(files=changed, kebab=name.kebab, snake=name.snake)


def _begin_changelog(tree: Tree) -> None:
    tree.write(CHANGELOG_OF_KIT, tree.read(CHANGELOG))
    tree.write(CHANGELOG, EMPTY)
    old, new = LINK.format(CHANGELOG), LINK.format(CHANGELOG_OF_KIT)
    tree.write(UPGRADING, tree.read(UPGRADING).replace(old, new))


def whole_words(words: Mapping[str, str]) -> Rename:
    """Replaces texts, but not in the middle of a word, or of one with hyphens such as a
    heading's address."""

    def pattern(text: str) -> str:
        before = r"(?<!\w)(?<!\w-)" if text[0].isalnum() else "(?<!#)"
        after = r"(?!\w)" if text[-1].isalnum() else ""
        return f"{before}{re.escape(text)}{after}"

    longest_first = sorted(words, key=len, reverse=True)
    found = re.compile("|".join(map(pattern, longest_first)))
    return lambda text: found.sub(lambda match: words[match[0]], text)


def project_files(tree: Tree) -> Iterator[str]:
    """What git would keep; without git, all but what is never part of the project."""
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
