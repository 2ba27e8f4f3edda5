"""`make push`, against a Docker that records its calls. A real one and a real registry
are in docs/CONTAINERS.md, "Test results"."""

import re
import subprocess
from pathlib import Path

import pytest
import yaml

from deploy import push
from deploy.images import DIGESTS, digests
from local.apps import ROOT
from local.registry import registered

DIGEST = "sha256:" + "0123456789abcdef" * 4
DOCKER = """\
#!/bin/sh
echo "$*" >>{folder}/calls
case "$*" in
"buildx version") exit {no_buildx} ;;
"buildx inspect"*) exit 1 ;;
"push "*{broken}*) exit 1 ;;
"image inspect"*)
    for place; do :; done
    echo "[\\"elsewhere/x@sha256:0\\", \\"${{place%:*}}@{digest}\\"]" ;;
*--metadata-file*)
    while [ "$1" != --metadata-file ]; do shift; done
    echo '{{"containerimage.digest": "{digest}"}}' >"$2" ;;
esac
"""
REGISTRY = "localhost:5000/shop"
NAMES = {image.name for image in push.images_to_build()}


def git(root: Path, *words: str) -> None:
    identity = ("-c", "user.name=x", "-c", "user.email=x@example.org")
    command = ["git", "-C", str(root), *identity, *words]
    subprocess.run(command, check=True, capture_output=True)


@pytest.fixture
def project(tmp_path: Path) -> Path:
    """A clone that has the Dockerfiles alone."""
    root = tmp_path / "project"
    files = [image.dockerfile for image in push.images_to_build()]
    for file in (*files, ROOT / DIGESTS):
        target = root / file.relative_to(ROOT)
        target.parent.mkdir(parents=True)
        target.write_text(file.read_text())
    text = (ROOT / "pyproject.toml").read_text()
    own = re.sub(r'(?m)^version = ".+"$', 'version = "1.4.0"', text)
    (root / "pyproject.toml").write_text(own)
    git(tmp_path, "init", "--quiet", str(root))
    git(root, "add", "--all")
    git(root, "commit", "--quiet", "--message", "x")
    return root


class Docker:
    """Records calls; `no_buildx` is 1 without the plugin."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def install(self, no_buildx: int = 0, broken: str = "nothing") -> None:
        text = DOCKER.format(
            folder=self.folder, no_buildx=no_buildx, broken=broken, digest=DIGEST
        )
        program = self.folder / "docker"
        program.write_text(text)
        program.chmod(0o755)

    @property
    def calls(self) -> list[str]:
        file = self.folder / "calls"
        return file.read_text().splitlines() if file.exists() else []

    def starting(self, words: str) -> list[str]:
        return [call for call in self.calls if call.startswith(words)]


@pytest.fixture
def docker(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Docker:
    folder = tmp_path / "bin"
    folder.mkdir()
    monkeypatch.setenv("PATH", f"{folder}:/usr/bin:/bin")
    docker = Docker(folder)
    docker.install()
    return docker


def commit_of(root: Path) -> str:
    command = ["git", "-C", str(root), "rev-parse", "--short=12", "HEAD"]
    return subprocess.run(command, capture_output=True, text=True).stdout.strip()


def test_the_images_are_those_of_the_manifests() -> None:
    assert {"fastapi-starter-api", "rabbitmq-service"} <= NAMES
    assert len(NAMES) == len(registered()) + 2


def test_every_file_that_an_image_gets_has_a_mode() -> None:
    """Whatever umask a clone was made with. Files of an earlier stage have theirs."""
    files = [image.dockerfile for image in push.images_to_build()]
    files += ROOT.glob("kit/templates/**/Dockerfile")
    for file in files:
        copies = re.findall(r"^\s*(?:COPY|ADD)\s(.*)", file.read_text(), re.MULTILINE)
        assert copies
        for each in copies:
            assert re.match(r"--(chmod=0\d{3}|from=\w+) ", each), f"{file}: {each}"


def test_images_for_several_platforms_and_their_digests(
    project: Path, docker: Docker, capsys: pytest.CaptureFixture[str]
) -> None:
    assert push.main([REGISTRY], project) == 0
    assert docker.starting("buildx create --name several-platforms")
    pushed = [call for call in docker.starting("buildx build") if "--push" in call]
    assert len(pushed) == len(NAMES)
    commit = commit_of(project)
    for name in NAMES:
        (call,) = (call for call in pushed if f"/{name}:" in call)
        assert "--platform linux/amd64,linux/arm64" in call
        assert f"--tag {REGISTRY}/{name}:1.4.0-{commit} " in call
        assert f"--tag {REGISTRY}/{name}:1.4.0 " in call
        assert f"--build-arg REVISION={commit}" in call
        for image, digest in digests(project).items():
            pinned = f"--build-context {image}=docker-image://{image}@{digest} "
            assert pinned in call
        context = project / "rabbitmq" if name == "rabbitmq-service" else project
        assert call.endswith(f" {context}")
    said = capsys.readouterr().out
    assert all(f"{REGISTRY}/{name}@{DIGEST}\n" in said for name in NAMES)
    written = yaml.safe_load((project / push.PUSHED).read_text())
    assert written["kind"] == "Component"
    assert written["images"] == [
        {"name": name, "newName": f"{REGISTRY}/{name}", "digest": DIGEST}
        for name in (image.name for image in push.images_to_build(project))
    ]


def test_without_buildx_it_builds_for_this_machine_and_says_so(
    project: Path, docker: Docker, capsys: pytest.CaptureFixture[str]
) -> None:
    docker.install(no_buildx=1)
    assert push.main([REGISTRY], project) == 0
    assert "this machine's platform only" in capsys.readouterr().out
    assert len(docker.starting("build ")) == len(NAMES)
    assert len(docker.starting("push ")) == 2 * len(NAMES)
    assert docker.calls.index(docker.starting("push ")[0]) > docker.calls.index(
        docker.starting("build ")[-1]
    )
    assert (project / push.PUSHED).read_text().count(DIGEST) == len(NAMES)


def test_it_takes_the_variables_of_a_build(
    project: Path, docker: Docker, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PIP_INDEX_URL", "https://pypi.example.com/simple")
    monkeypatch.setenv("CA_CERTIFICATES", "an-authority")
    monkeypatch.setenv("BUILD_NETWORK", "host")
    assert push.main([REGISTRY], project) == 0
    for call in docker.starting("buildx build"):
        assert "--build-arg PIP_INDEX_URL=https://pypi.example.com/simple " in call
        assert "--build-arg CA_CERTIFICATES=an-authority " in call
        assert "--network host " in call
        assert "--file " in call and "--tag " in call


def test_uncommitted_changes_are_refused_unless_told(
    project: Path, docker: Docker, capsys: pytest.CaptureFixture[str]
) -> None:
    (project / "new").touch()
    assert push.main([REGISTRY], project) == 1
    assert "has uncommitted changes" in capsys.readouterr().err
    assert docker.calls == []
    assert push.main([REGISTRY, "--dirty"], project) == 0
    assert f":1.4.0-{commit_of(project)}-dirty" in docker.calls[-1]
    assert ":1.4.0 " not in docker.calls[-1]  # it belongs to a commit


def test_a_second_push_is_not_stopped_by_what_the_first_one_wrote(
    project: Path, docker: Docker
) -> None:
    assert push.main([REGISTRY], project) == push.main([REGISTRY], project) == 0


def test_the_tag_of_a_release_is_left_to_the_release(
    project: Path, docker: Docker
) -> None:
    git(project, "tag", "v1.4.0")
    assert push.main([REGISTRY], project) == 0
    assert ":1.4.0 " in docker.calls[-1]
    git(project, "commit", "--quiet", "--allow-empty", "--message", "later")
    assert push.main([REGISTRY], project) == 0
    assert ":1.4.0 " not in docker.calls[-1]
    assert f":1.4.0-{commit_of(project)} " in docker.calls[-1]


def test_a_failed_push_writes_nothing(
    project: Path, docker: Docker, capsys: pytest.CaptureFixture[str]
) -> None:
    docker.install(no_buildx=1, broken="rabbitmq")
    assert push.main([REGISTRY], project) == 1
    assert "docker push failed" in capsys.readouterr().err
    assert not (project / push.PUSHED).exists()


@pytest.mark.parametrize("registry", ["", "https://registry.example.org", "a b"])
def test_a_registry_is_needed(
    project: Path, registry: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert push.main([registry], project) == 1
    assert "name the registry" in capsys.readouterr().err
