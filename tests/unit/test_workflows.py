"""GitHub's workflows run only code that is known, with the rights that they need."""

import os
import re
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

from local.apps import ROOT

FILES = sorted((ROOT / ".github/workflows").glob("*.y*ml"))
RELEASE = ROOT / ".github/workflows/release.yml"
EACH = pytest.mark.parametrize("file", FILES, ids=lambda file: file.name)

#: A commit: tags and branches can be moved.
PINNED = re.compile(r"uses: [\w./-]+@[0-9a-f]{40}  # v\d+(\.\d+)*$")
#: Values that a stranger chooses, such as the title of a pull request. In a script they
#: are code: pass them in `env`.
EXPRESSION = re.compile(r"\$\{\{.*?\}\}", re.DOTALL)
#: What a called workflow may get, and what a job may write, each with its reason.
WRITES = {
    ("release.yml", "publish"): {"attestations", "id-token", "packages"},  # images
}
#: Runs code of a stranger with the secrets of the repository.
DANGEROUS = {"pull_request_target", "workflow_run", "issue_comment"}


def load(file: Path) -> dict[Any, Any]:
    """A workflow. YAML 1.1 reads the word `on` as true."""
    found: dict[Any, Any] = yaml.safe_load(file.read_text())
    found["on"] = found.pop(True, found.get("on"))
    return found


def jobs(file: Path) -> Iterator[tuple[str, dict[str, Any]]]:
    yield from load(file)["jobs"].items()


def steps(file: Path) -> Iterator[dict[str, Any]]:
    for _, job in jobs(file):
        yield from job.get("steps", [])


def test_there_are_workflows() -> None:
    assert {file.name for file in FILES} >= {"ci.yml", "release.yml"}


@EACH
def test_actions_are_pinned_by_commit(file: Path) -> None:
    lines = [line.strip().removeprefix("- ") for line in file.read_text().splitlines()]
    used = [line for line in lines if line.startswith("uses:")]
    assert used
    for line in used:
        if not line.startswith("uses: ./"):  # a workflow of the same commit
            assert PINNED.fullmatch(line), f"{line}: pin the commit, name its version"


def test_each_action_has_one_version() -> None:
    found: dict[str, set[str]] = {}
    for file in FILES:
        for action, commit in re.findall(r"uses: ([\w/-]+)@(\S+)", file.read_text()):
            found.setdefault(action, set()).add(commit)
    assert all(len(commits) == 1 for commits in found.values()), found


@EACH
def test_each_job_names_its_permissions(file: Path) -> None:
    assert load(file)["permissions"] == {}, "the default is for jobs to widen"
    for name, job in jobs(file):
        granted = job.get("permissions")
        assert isinstance(granted, dict), f"{name}: `write-all` and none are no list"
        writes = {right for right, level in granted.items() if level != "read"}
        assert writes == WRITES.get((file.name, name), set()), name


@EACH
def test_no_strangers_code_runs_with_secrets(file: Path) -> None:
    events = load(file)["on"]
    assert not DANGEROUS & {*([events] if isinstance(events, str) else events)}
    # A signature must not come from a run that anybody can start.
    writes = any(name == file.name for name, _ in WRITES)
    assert not writes or list(events) == ["push"] and list(events["push"]) == ["tags"]


@EACH
def test_a_checkout_keeps_no_token(file: Path) -> None:
    for step in steps(file):
        if step.get("uses", "").startswith("actions/checkout@"):
            assert step["with"]["persist-credentials"] is False


@EACH
def test_scripts_contain_no_expression(file: Path) -> None:
    for step in steps(file):
        found = EXPRESSION.findall(step.get("run", ""))
        assert not found, f"{found} in a script: pass it in `env`"


@EACH
def test_each_job_ends(file: Path) -> None:
    for name, job in jobs(file):
        assert "uses" in job or job["timeout-minutes"] <= 60, name


@EACH
def test_secrets_go_to_the_step_that_needs_them(file: Path) -> None:
    for name, job in jobs(file):
        assert "secrets." not in str(job.get("env", {})), name
        assert job.get("secrets") != "inherit", name
    assert "secrets." not in str(load(file).get("env", {}))


def test_what_is_published_is_tested_and_signed_and_attested() -> None:
    found = dict(jobs(RELEASE))
    assert found["test"]["uses"] == "./.github/workflows/ci.yml"
    assert found["images"]["needs"] == "test"
    publish = found["publish"]
    assert publish["needs"] == "images"
    said = "\n".join(step.get("run", step.get("uses", "")) for step in publish["steps"])
    order = ["--sbom=true --provenance=mode=max", "cosign sign", "attest-build-prov"]
    places = [said.index(words) for words in order]
    assert places == sorted(places)
    # By digest: a tag may lead elsewhere by then.
    assert 'cosign sign --yes --recursive "$IMAGE@$DIGEST"' in said


def test_somebody_may_have_to_approve_what_writes() -> None:
    """Rules of an environment hold for its jobs alone."""
    for file, name in WRITES:
        assert dict(jobs(ROOT / ".github/workflows" / file))[name]["environment"]


def run_step(folder: Path, words: str, programs: dict[str, str], **env: str) -> None:
    """Run the step of the release with these words, with programs that do little."""
    for name, code in programs.items():
        (folder / name).write_text(f"#!/bin/sh\n{code}\n")
        (folder / name).chmod(0o755)
    found = (step.get("run", "") for step in steps(RELEASE))
    (script,) = (each for each in found if words in each)
    env = {**os.environ, **env, "PATH": f"{folder}:{os.environ['PATH']}"}
    subprocess.run(["bash", "-ec", script], env=env, cwd=folder, check=True)


def test_the_registry_alone_gets_its_password(tmp_path: Path) -> None:
    """Its host has it for all of its paths, and no list of processes shows it."""
    run_step(
        tmp_path,
        "docker login",
        {"docker": 'echo "$*" >said; cat >password'},
        IMAGE_REGISTRY="registry.example/team/shop",
        REGISTRY_USER="jane",
        REGISTRY_PASSWORD="Sekret",
    )
    host, *_ = (tmp_path / "said").read_text().removeprefix("login ").split()
    assert host == "registry.example"
    assert "Sekret" not in (tmp_path / "said").read_text()
    assert (tmp_path / "password").read_text() == "Sekret\n"


def test_images_are_pushed_with_the_version_of_their_release(tmp_path: Path) -> None:
    """Manifests name it without the v of the tag; bases are those that were pinned."""
    run_step(
        tmp_path,
        "buildx bake",
        {
            "docker": 'case $1 in buildx) echo "$VERSION $*" >>said ;; esac',
            "python3": "cat",
            "jq": "echo sha256:0",
        },
        GITHUB_REF_NAME="v1.2.3",
        GITHUB_OUTPUT=str(tmp_path / "output"),
        IMAGE="registry.example/team/api",
        TARGET="fastapi-api",
    )
    version, *words = (tmp_path / "said").read_text().splitlines()[-1].split()
    assert version == "1.2.3" and words[:3] == ["buildx", "bake", "fastapi-api"]
    pairs = {*zip(words, words[1:], strict=False)}
    assert ("--set", "fastapi-api.tags=registry.example/team/api:1.2.3") in pairs
    assert {("--file", "docker-compose.yml"), ("--file", "pinned.yml")} <= pairs
    assert "--push" in words
    assert (tmp_path / "output").read_text() == "digest=sha256:0\n"
