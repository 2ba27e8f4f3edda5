"""`make update`: merges a version of the kit into a project.

git merges from a common ancestor. A project from a zip file or a template has no commit
of the kit, and a renamed one has different lines. So each kit version becomes a commit
of its own here, with the project's name and version; the first one is placed below the
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
Both sides changed the same lines or files. Resolve the conflicts, then:
  git add --all && git commit --no-edit"""

DONE = "The project now has {to} of the kit. Next: make install-dev, make test"


def update(root: Path, to: str, start: str = "") -> str:
    """Merge a version, such as `v0.2.0`; returns what was done. Raises KitError.

    `start` is the version that the project has, if its files name another.
    """
    if not to:
        raise KitError("Name the version: TO=v0.2.0")
    start = start or f"v{__version__}"
    if to == start:
        raise KitError(f"The project already has {to}")
    require_clean(root)
    if not succeeds(root, "remote", "get-url", REMOTE):
        raise KitError(NO_REMOTE)
    for version in {start, to}:
        _fetch(root, version)
    base = _known(root, start)
    if base is None:
        base = _commit(root, start)
        unrelated = ("--strategy", "ours", "--allow-unrelated-histories")
        git(
            root,
            "merge",
            "--quiet",
            *unrelated,
            "-m",
            f"Start from {start} of the kit",
            base,
        )
    if _known(root, to):
        raise KitError(f"{to} is already merged")
    try:
        new = _commit(root, to, base)
        git(root, "merge", "--quiet", "-m", f"Update the kit to {to}", new)
    except KitError as error:
        if succeeds(root, "rev-parse", "--verify", "--quiet", "MERGE_HEAD"):
            raise KitError(f"{error}\n{CONFLICT}") from error
        raise
    return DONE.format(to=to)


def _fetch(root: Path, version: str) -> None:
    """Keep them apart from the project's own tags, which may have the same names."""
    tag = f"+refs/tags/{version}:{_ref(version)}"
    if not succeeds(root, "fetch", "--quiet", "--no-tags", REMOTE, tag):
        raise KitError(
            f"{REMOTE} has no tag {version}, or does not answer. `git ls-remote "
            f"--tags {REMOTE}` lists its tags. If your files name the wrong version, "
            "add FROM= with yours."
        )


def _ref(version: str) -> str:
    return f"refs/kit/{version}"


def _known(root: Path, version: str) -> str | None:
    """The version's commit in the history of the current branch."""
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
    """Keep the project's own version number: it would conflict in twenty files."""
    tree = Tree(folder)
    set_version(tree, current_version(tree), current_version(Tree(root)))
    tree.apply()


def _rename(tree: Path) -> None:
    """With that version's own code, which knows all its names."""
    command = [sys.executable, "-m", "kit", "rename", project.PROJECT]
    result = subprocess.run(command, cwd=tree, capture_output=True, text=True)
    if result.returncode:
        raise KitError(result.stderr)
