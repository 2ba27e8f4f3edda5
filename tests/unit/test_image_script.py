"""deploy/image.sh, in a folder that stands for the file system of an image."""

import os
import re
import subprocess
from pathlib import Path

from local.apps import ROOT

PROGRAM = '#!/bin/sh\necho "${0##*/} $*" >>"$LOG"\n[ "${0##*/}" != "$FAILS" ]\n'


def run(folder: Path, *words: str, **env: str) -> tuple[int, str]:
    """Its exit code, and the programs that it ran."""
    text = (ROOT / "deploy/image.sh").read_text()
    for place in ("/app", "/opt/venv"):
        text = text.replace(f" {place}", f" {folder}{place}")
    programs = folder / "programs"
    packages = folder / "opt/venv/lib/python3.12/site-packages"
    for made in (programs, folder / "opt/venv/bin", packages):
        made.mkdir(parents=True, exist_ok=True)
    for name in ("programs/python3", "programs/groupadd", "programs/useradd"):
        (folder / name).write_text(PROGRAM)
        (folder / name).chmod(0o755)
    python = folder / "opt/venv/bin/python"
    python.write_text(PROGRAM)
    python.chmod(0o755)
    (folder / "packages/one/src/one").mkdir(parents=True, exist_ok=True)
    (folder / "packages/one/src/one/__init__.py").touch()
    (folder / "shop").mkdir(exist_ok=True)
    (folder / "shop/requirements.txt").write_text("")
    (folder / "shop/main.py").write_text("")
    path = f"{programs}:{os.environ['PATH']}"
    result = subprocess.run(
        ["sh", "-c", text, "image.sh", *words],
        cwd=folder,
        env={"PATH": path, "LOG": str(folder / "log"), "FAILS": "", **env},
    )
    return result.returncode, (folder / "log").read_text()


def test_an_image_has_the_code_the_packages_and_their_bytecode(tmp_path: Path) -> None:
    code, ran = run(tmp_path, "finish", "shop")
    packages = tmp_path / "opt/venv/lib/python3.12/site-packages"
    assert code == 0 and (packages / "one/__init__.py").exists()
    assert [path.name for path in (tmp_path / "app").iterdir()] == ["main.py"]
    # The file system is read-only later.
    assert f"python -m compileall -q {tmp_path}/app {packages}\n" in ran


def test_packages_are_pinned_wheels_and_a_failure_ends_the_build(
    tmp_path: Path,
) -> None:
    code, ran = run(tmp_path, "install", "shop")
    assert code == 0
    for word in ("--require-hashes", "--only-binary :all:", "--no-deps"):
        assert word in ran
    assert ran.endswith("-r shop/requirements.txt\n")
    for word, program in (("install", "python3"), ("finish", "groupadd")):
        assert run(tmp_path, word, "shop", FAILS=program)[0] == 1


def test_images_get_all_that_their_build_makes() -> None:
    """The user too: programs ask for the name of the one that runs them."""
    files = [ROOT / "backend/Dockerfile", *ROOT.glob("services/*/Dockerfile")]
    for file in [*files, *ROOT.glob("kit/templates/service/services/*/Dockerfile")]:
        final = file.read_text().split("\nFROM ")[-1]
        copied = " ".join(re.findall(r"^COPY --from=build (.*)", final, re.MULTILINE))
        made = {"/opt/venv", "/app", "/etc/passwd", "/etc/group"}
        assert made <= {*copied.split()}, file


def test_its_user_is_the_one_that_everything_else_names(tmp_path: Path) -> None:
    """Files that it may read, and pods, name the number."""
    _, ran = run(tmp_path, "finish", "shop")
    (group,) = re.findall(r"^groupadd --gid (\d+) app$", ran, re.MULTILINE)
    (user,) = re.findall(r"^useradd --uid (\d+) --gid app ", ran, re.MULTILINE)
    images = [ROOT / "backend/Dockerfile", *ROOT.glob("services/*/Dockerfile")]
    for file in images:
        assert f"\nUSER {user}:{group}\n" in file.read_text(), file
    manifest = (ROOT / "deploy/smoke/smoke-job.yaml").read_text()
    named = dict(
        re.findall(r"^ +(runAsUser|runAsGroup|fsGroup): (\d+)$", manifest, re.M)
    )
    assert named == {"runAsUser": user, "runAsGroup": group, "fsGroup": group}


def test_no_container_of_ours_runs_as_root() -> None:
    files = [
        *(ROOT / "backend/Dockerfile", ROOT / "rabbitmq/Dockerfile"),
        *(ROOT / "deploy/ha/patroni/Dockerfile", *ROOT.glob("services/*/Dockerfile")),
    ]
    for file in files:
        last = file.read_text().rpartition("\nFROM ")[2]
        users = re.findall(r"^USER (\S+)$", last, re.MULTILINE)
        assert users and users[-1].partition(":")[0] not in ("root", "0"), file


def test_python_writes_lines_at_once_and_no_bytecode() -> None:
    """A log must not wait in a buffer; the file system is read-only."""
    for file in (ROOT / "backend/Dockerfile", *ROOT.glob("services/*/Dockerfile")):
        last = file.read_text().rpartition("\nFROM ")[2]
        for name in ("PYTHONUNBUFFERED", "PYTHONDONTWRITEBYTECODE"):
            assert re.search(rf"^(ENV| ) .*\b{name}=1\b", last, re.MULTILINE), file
