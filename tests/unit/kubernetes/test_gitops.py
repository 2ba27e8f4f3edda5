"""The bases serve overlays of another repository, and tools that apply them."""

import os
import re
import shutil
import subprocess
from collections.abc import Iterable
from pathlib import Path

import pytest
import yaml

from local.apps import ROOT
from tests.unit.kubernetes.manifests import (
    SERVICES,
    Object,
    build,
    of_kind,
    plain_name,
    rendered,
)

GITOPS = ROOT / "deploy/gitops"
FOLDERS = ("backend", "deploy", "observability", "rabbitmq", "services")
WAVE = "argocd.argoproj.io/sync-wave"
FORCE = "kustomize.toolkit.fluxcd.io/force"
REMOTE = re.compile(r"https://github\.com/[\w/-]+//")


@pytest.fixture(scope="module")
def release(tmp_path_factory: pytest.TempPathFactory) -> str:
    """Address of a repository that has the manifests, with the tag of the example."""
    root = tmp_path_factory.mktemp("release") / "shop"
    for folder in FOLDERS:
        ignore = shutil.ignore_patterns("*.py", "__pycache__", "tests")
        shutil.copytree(ROOT / folder, root / folder, ignore=ignore)
    identity = ("-c", "user.name=x", "-c", "user.email=x@example.org")
    for words in (
        ["init", "--quiet"],
        ["add", "--all"],
        [*identity, "commit", "--quiet", "--message", "x"],
        ["tag", version()],
    ):
        subprocess.run(["git", "-C", str(root), *words], check=True)
    return f"file://{root}"


def version() -> str:
    text = (GITOPS / "consumer/kustomization.yaml").read_text()
    (found,) = set(re.findall(r"\?ref=(\S+)$", text, re.MULTILINE))
    return str(found)


def consume(folder: Path, release: str, text: str) -> list[Object]:
    """What another repository gets that has this kustomization."""
    assert REMOTE.search(text)
    folder.mkdir(exist_ok=True)
    (folder / "kustomization.yaml").write_text(REMOTE.sub(f"{release}//", text))
    return build(folder)


def waves(objects: Iterable[Object]) -> dict[str, str]:
    return {
        each["metadata"]["name"]: each["metadata"].get("annotations", {}).get(WAVE, "0")
        for each in objects
        if each["kind"] in ("Deployment", "StatefulSet", "Job")
    }


def test_another_repository_takes_a_release_by_its_tag(
    release: str, tmp_path: Path
) -> None:
    text = (GITOPS / "consumer/kustomization.yaml").read_text()
    objects = consume(tmp_path / "shop", release, text)
    assert {each["metadata"]["namespace"] for each in objects} == {"shop"}
    assert {(each["kind"], plain_name(each)) for each in objects} == {
        (each["kind"], plain_name(each)) for each in rendered("production")
    }
    (config,) = (each for each in objects if plain_name(each) == "backend-config")
    assert config["data"]["AUTH_AUDIENCE"] == "shop-api"
    assert config["data"]["RABBITMQ_PORT"] == "5672"
    used = str([each for each in objects if each["kind"] == "Deployment"])
    assert config["metadata"]["name"] in used
    assert "registry.example.org/shop/fastapi-starter-api:" in used
    (ingress,) = (each for each in objects if each["kind"] == "Ingress")
    assert ingress["spec"]["rules"][0]["host"] == "api.example.org"


def test_a_tag_that_does_not_exist_is_an_error(release: str, tmp_path: Path) -> None:
    text = (GITOPS / "consumer/kustomization.yaml").read_text()
    with pytest.raises(AssertionError, match="v99"):
        consume(tmp_path / "shop", release, text.replace(version(), "v99"))


def test_argo_cd_migrates_before_workers_and_workers_before_the_api(
    release: str, tmp_path: Path
) -> None:
    text = (GITOPS / "consumer/kustomization.yaml").read_text()
    objects = consume(tmp_path / "shop", release, text)
    found = waves(objects)
    last = {"fastapi-api": "3", "nginx": "3"}
    servers = {"rabbitmq": "0", "otel-collector": "0", "fastapi-migrations": "1"}
    workers = {name: "2" for name in found if name not in {*last, *servers}}
    assert found == last | servers | workers
    assert {*SERVICES, "fastapi-celery-worker"} <= set(workers)
    (job,) = (each for each in objects if each["kind"] == "Job")
    assert job["metadata"]["annotations"] == {
        "argocd.argoproj.io/hook": "Sync",
        "argocd.argoproj.io/hook-delete-policy": "BeforeHookCreation",
        WAVE: "1",
    }


def test_flux_migrates_in_a_kustomization_of_its_own(
    release: str, tmp_path: Path
) -> None:
    text = (GITOPS / "consumer/kustomization.yaml").read_text()
    rest = consume(
        tmp_path / "rest", release, text.replace("/argo-cd?", "/without-migration?")
    )
    address = REMOTE.search(text)
    assert address
    migration = consume(
        tmp_path / "migration",
        release,
        f"namespace: shop\nresources:\n  - {address[0]}deploy/gitops/migration?ref="
        f"{version()}\n",
    )
    assert not [each for each in rest if "migrations" in each["metadata"]["name"]]
    assert sorted(each["kind"] for each in migration) == [
        *("ConfigMap", "Job", "NetworkPolicy", "ServiceAccount"),
    ]
    # Without the hash: with equal settings, ConfigMaps of one name are one object, and
    # each Kustomization would delete that of the other.
    names = {(each["kind"], plain_name(each)) for each in rest}
    assert not names & {(each["kind"], plain_name(each)) for each in migration}
    (job,) = (each for each in migration if each["kind"] == "Job")
    (own,) = of_kind("production", "Job")
    assert job["metadata"]["annotations"] == {FORCE: "enabled"}
    pod, plain = (each["spec"]["template"]["spec"] for each in (job, own))
    by_name = {each["kind"]: each["metadata"]["name"] for each in migration}
    source = pod["containers"][0]["envFrom"][0]["configMapRef"]
    assert source["name"] == by_name["ConfigMap"]
    assert pod["serviceAccountName"] == by_name["ServiceAccount"]
    assert pod["volumes"] == plain["volumes"]  # the secrets keep their names
    policy = next(each for each in migration if each["kind"] == "NetworkPolicy")
    labels = job["spec"]["template"]["metadata"]["labels"]
    assert policy["spec"]["podSelector"]["matchLabels"].items() <= labels.items()


def test_the_examples_name_each_other() -> None:
    (application,) = yaml.safe_load_all(
        (GITOPS / "argo-cd/application.yaml").read_text()
    )
    assert application["kind"] == "Application"
    assert application["spec"]["syncPolicy"]["automated"]["prune"] is True
    flux = yaml.safe_load_all((GITOPS / "flux/kustomizations.yaml").read_text())
    source, migration, rest = flux
    assert rest["spec"]["dependsOn"] == [{"name": migration["metadata"]["name"]}]
    for each in (migration, rest):
        assert each["spec"]["wait"] is each["spec"]["prune"] is True
        assert each["spec"]["sourceRef"]["name"] == source["metadata"]["name"]
    # The Job ends first, and its reason is seen.
    (job,) = of_kind("production", "Job")
    minutes = int(migration["spec"]["timeout"].removesuffix("m"))
    assert minutes * 60 > job["spec"]["activeDeadlineSeconds"]
    text = (GITOPS / "consumer/kustomization.yaml").read_text()
    for path in re.findall(r"//(deploy/\S+)\?ref=", text):
        assert os.path.exists(ROOT / path / "kustomization.yaml")
    kit = (ROOT / "backend/app/__init__.py").read_text()
    assert f'__version__ = "{version().removeprefix("v")}"' in kit
