"""`make update`: a version of the kit, merged into a project.

git merges by what the two sides have in common. A project from a zip file or a template
has no commit of the kit, and a renamed one has other lines. So each version is a commit
of its own here, under the project's name and version; the first is put below the
project's history.
"""

import subprocess
import sys
from pathlib import Path
from tempfile import TemporaryDirectory

from kit import __version__, project
from kit.git import git, require_clean, succeeds
from kit.release import current_version, set_version
from kit.tree import KitError, Tree

REMOTE = "upstream"

NO_REMOTE = f"""The address of the kit is missing. Add it, as in
  git remote add {REMOTE} https://git.example.org/kit.git"""

CONFLICT = """
Both sides changed the same lines, or files. Settle that, then:
  git add --all && git commit --no-edit"""

DONE = "The project has {to} of the kit now. Next: make install-dev, make test"


def update(root: Path, to: str, start: str = "") -> str:
    """Merge a version, such as `v0.2.0`; what was done, in words. Raises KitError.

    `start` is the version that the project has, if that is not what its files say.
    """
    if not to:
        raise KitError("Say which version: TO=v0.2.0")
    start = start or f"v{__version__}"
    if to == start:
        raise KitError(f"The project has {to} already")
    require_clean(root)
    if not succeeds(root, "remote", "get-url", REMOTE):
        raise KitError(NO_REMOTE)
    for version in {start, to}:
        _fetch(root, version)
    base = _known(root, start)
    if base is None:
        base = _commit(root, start)
        unrelated = ("--strategy", "ours", "--allow-unrelated-histories")
        git(root, "merge", "--quiet", *unrelated, "-m", f"Begin at {start}", base)
    if _known(root, to):
        raise KitError(f"{to} was merged already")
    try:
        new = _commit(root, to, base)
        git(root, "merge", "--quiet", "-m", f"Take {to} of the kit", new)
    except KitError as error:
        if succeeds(root, "rev-parse", "--verify", "--quiet", "MERGE_HEAD"):
            raise KitError(f"{error}\n{CONFLICT}") from error
        raise
    return DONE.format(to=to)


def _fetch(root: Path, version: str) -> None:
    """Beside the project's own tags, which may have the same names."""
    tag = f"+refs/tags/{version}:{_ref(version)}"
    if not succeeds(root, "fetch", "--quiet", "--no-tags", REMOTE, tag):
        raise KitError(
            f"{REMOTE} has no tag {version}, or does not answer. `git ls-remote --tags "
            f"{REMOTE}` lists what there is; FROM= names the version that you have."
        )


def _ref(version: str) -> str:
    return f"refs/kit/{version}"


def _known(root: Path, version: str) -> str | None:
    """The version's commit in the history of what is checked out."""
    pattern = f"^{_message(version)}$".replace(".", "[.]")
    return git(root, "log", "-1", "--format=%H", "--grep", pattern) or None


def _message(version: str) -> str:
    return f"Kit {version} as {project.PROJECT}"


def _commit(root: Path, version: str, *before: str) -> str:
    """A commit with the version's files, under the project's name."""
    tag = git(root, "rev-parse", f"{_ref(version)}^{{commit}}")
    with TemporaryDirectory() as folder:
        tree = Path(folder, "kit")
        git(root, "worktree", "add", "--quiet", "--detach", str(tree), tag)
        try:
            if project.is_renamed():
                _rename(tree)
            _keep_version(root, tree)
            git(tree, "add", "--all")
            files = git(tree, "write-tree")
        finally:
            git(root, "worktree", "remove", "--force", str(tree))
    parents = [word for parent in (*before, tag) for word in ("-p", parent)]
    return git(root, "commit-tree", files, *parents, "-m", _message(version))


def _keep_version(root: Path, folder: Path) -> None:
    """The project's own: it would make conflicts otherwise, in twenty files."""
    tree = Tree(folder)
    set_version(tree, current_version(tree), current_version(Tree(root)))
    tree.apply()


def _rename(tree: Path) -> None:
    """With the version's own code, which knows all of its names."""
    command = [sys.executable, "-m", "kit", "rename", project.PROJECT]
    result = subprocess.run(command, cwd=tree, capture_output=True, text=True)
    if result.returncode:
        raise KitError(result.stderr)
