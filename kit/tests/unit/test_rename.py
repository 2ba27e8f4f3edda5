"""A renamed copy keeps nothing of the old name."""

import ast
import json
import re
import shutil
from pathlib import Path
from typing import Any

import pytest
import yaml

from kit import commands, service
from kit.names import Name
from kit.project import CLONE, PACKAGE, PACKAGE_PLACES
from kit.project import PROJECT as KIT_PROJECT
from kit.project import PROJECT_PLACES, TITLE, TITLE_PLACES, is_renamed, spellings
from kit.rename import KEPT, LONGEST, whole_words
from kit.tests.copies import (
    HAS_DEMO,
    OTHER,
    OTHER_PROJECT,
    PROJECT,
    SERVICE,
    python,
    snapshot,
)
from kit.tests.team import in_the_kit
from kit.tree import Tree

THIS = "kit/tests/unit/test_rename.py"
PLACES = {
    TITLE: TITLE_PLACES,
    PACKAGE: PACKAGE_PLACES,
    KIT_PROJECT: PROJECT_PLACES,
}
CHASSIS = "packages/chassis/src"
NEW = Name.parse(PROJECT)

KIT = re.compile(
    r"fastapi|FastAPI microservices|\w[-_ ]starter\b|starter-|172\.30\.81\.", re.I
)
LIBRARY = (
    *(
        r"(from|import) fastapi[\w., ]*",
        r"\bFastAPI\b(?! micro)",
        "FastAPIInstrumentor",
    ),
    *("full-stack-fastapi-template", r"github\.com/fastapi/"),
    *("fastapi[-_]offline", r"\binstrumentation[-.]fastapi", "`-fastapi`"),
    *(r"\bfastapi[=>]=", r"# +fastapi$", r"\| fastapi \|", "- fastapi$"),
    *('(?<!PASSWORD": )"fastapi"', r'removeprefix\("fastapi-"\)'),
)
SHARED = ("fastapi-kit-port-", "fastapi-kit-{digest}")
MAY_STAY = re.compile("|".join((*LIBRARY, *SHARED)))


def run(project: Path, *words: str) -> None:
    """Run the copy's own kit, whose names change too."""
    python(project, "-m", "kit", *words)


@pytest.fixture
def before(made: Path, tmp_path: Path) -> Path:
    """Before the renaming."""
    return shutil.copytree(made, tmp_path / "project")


@pytest.fixture
def renamed(made_renamed: Path, tmp_path: Path) -> Path:
    return shutil.copytree(made_renamed, tmp_path / "renamed")


@pytest.fixture(scope="module")
def made_other(made_renamed: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Renamed a second time; only to be read."""
    project = tmp_path_factory.mktemp("other") / "project"
    shutil.copytree(made_renamed, project)
    run(project, "rename", OTHER_PROJECT)
    return project


def containers(project: Path) -> dict[str, Any]:
    loaded = yaml.safe_load((project / "docker-compose.yml").read_text())
    found: dict[str, Any] = loaded["services"]
    return found


def own_names(project: Path) -> set[str]:
    """The names that two projects on one machine must not share."""
    services = containers(project).values()
    queues = set(service.registered(Tree(project)).values())
    built = {each["image"] for each in services if each["image"].startswith(CLONE)}
    named = built | {each["container_name"] for each in services}
    return queues | {name.removeprefix(CLONE) for name in named}


@pytest.mark.skipif(is_renamed(), reason="the names of the kit are gone")
def test_no_name_of_the_kit_remains(renamed: Path) -> None:
    """This excludes the library of the same name, and names that all projects on a
    machine share."""
    left = [
        f"{path}: {line}"
        for path, text in texts(renamed).items()
        if path not in {".env", THIS, *KEPT}
        for line in text.splitlines()
        if KIT.search(MAY_STAY.sub("", line))
    ]
    assert not left
    assert (renamed / ".env").read_text() == "DATABASE_URL=x/fastapi_db\n"


@in_the_kit
def test_a_second_rename_knows_every_place_of_the_name() -> None:
    """After the first one, the name may be a word that means something else too."""
    tree = Tree(commands.ROOT)
    known = spellings(tree, Name.parse("zeta9"))
    for name, places in PLACES.items():
        del known[name]
        known |= {place.format(name, name): "" for place in places}
    rest = whole_words(known)
    left = re.compile("|".join(rf"(?<![\w-]){name}(?!\w)" for name in PLACES))
    assert [
        f"{path}: {line}"
        for path, text in texts(commands.ROOT).items()
        if path not in {THIS, *KEPT} and any(name in text for name in PLACES)
        for line in rest(text).splitlines()
        if left.search(line)
    ] == []


@pytest.mark.kit  # half a minute
@pytest.mark.timeout(600)
def test_a_second_rename_keeps_nothing_of_the_first(before: Path) -> None:
    """The names are a word of the greatest length, one with the kit's name in it, and
    one with a digit."""
    word = "b" * LONGEST
    (before / "NOTES.md").write_text(f"# Of {word}\n\nAbout {word}: `{word}`\n")
    direct = before.with_name("direct")
    shutil.copytree(before, direct)
    run(direct, "rename", "zeta9")
    for name in (word, f"{KIT_PROJECT[:18]}-2", "zeta9"):
        run(before, "rename", name)
    once, twice = texts(direct), texts(before)
    assert once.keys() == twice.keys()
    assert [p for p in once if meaning(p, twice[p]) != meaning(p, once[p])] == []


@pytest.mark.skipif(is_renamed(), reason="the project has its changelog already")
def test_the_changelog_of_the_kit_stays(before: Path, renamed: Path) -> None:
    text = (before / "CHANGELOG.md").read_text()
    assert (renamed / "CHANGELOG-KIT.md").read_text() == text
    assert (renamed / "CHANGELOG.md").read_text() == "# Changelog\n\n## Unreleased\n"
    assert "(../CHANGELOG-KIT.md)" in (renamed / "docs/UPGRADING.md").read_text()


def meaning(path: str, text: str) -> str:
    """The text without Python's layout, which changes with the length of lines."""
    return ast.dump(ast.parse(text)) if path.endswith(".py") else text


def texts(project: Path) -> dict[str, str]:
    """The content of each text file."""
    return {
        path: content.decode()
        for path, (_, content) in snapshot(project).items()
        if not path.endswith((".png", "/"))
    }


@pytest.mark.kit
@pytest.mark.timeout(600)
def test_two_projects_have_nothing_in_common(
    made: Path, made_renamed: Path, made_other: Path
) -> None:
    first = own_names(made)
    for name, project in ((PROJECT, made_renamed), (OTHER_PROJECT, made_other)):
        own = own_names(project)
        assert not own & first
        prefixes = (f"{name}-", f"{name.replace('-', '_')}_")
        assert all(each.startswith(prefixes) for each in own)
    assert len({subnet(project) for project in (made, made_renamed, made_other)}) == 3


def subnet(project: Path) -> str:
    loaded = yaml.safe_load((project / "docker-compose.yml").read_text())
    return str(loaded["networks"]["gateway"]["ipam"]["config"][0]["subnet"])


def test_the_new_names_agree(renamed: Path) -> None:
    folder = renamed / "deploy/overlays/development"
    overlay = yaml.safe_load((folder / "kustomization.yaml").read_text())
    assert overlay["namespace"] == PROJECT
    assert f"{PROJECT}-api" in {each["name"] for each in overlay["images"]}
    code = """
from app.application import create_app
from app.core.config import Settings
from chassis.queues import get_queue_name, get_service_name
settings = Settings()
url = type(settings.database).model_fields["database_url"].default
print(create_app(settings).title, url.get_secret_value())
for each in settings.services:
    assert get_queue_name(each.name) == each.queue
    assert get_service_name(each.queue) == each.name
"""
    paths = f"{renamed / 'backend'}:{renamed / CHASSIS}"
    told = python(renamed / "backend", "-c", code, PYTHONPATH=paths)
    assert told.startswith(f"{NEW.title} ") and told.endswith(f"/{NEW.snake}_db\n")


def test_queues_of_dead_letters_are_named_like_their_queues(renamed: Path) -> None:
    definitions = json.loads((renamed / "rabbitmq/definitions.json").read_text())
    queues = set(service.registered(Tree(renamed)).values())
    assert {each["name"] for each in definitions["queues"]} == {
        name for queue in queues for name in (queue, f"{queue}_dlq")
    }
    if HAS_DEMO:  # the page names its queue
        text = (renamed / "ARCHITECTURE.md").read_text()
        named = {*re.findall(r"\w+_dlq\b", text)}
        assert named <= {f"{queue}_dlq" for queue in queues}


def test_the_capacity_model_names_the_manifests_workloads(renamed: Path) -> None:
    said = python(renamed, "-m", "deploy.capacity")
    named = set(re.findall(r"^  (\S+) +[\d,]+ replicas$", said, re.MULTILINE))
    there = {
        each["metadata"]["name"]
        for pattern in ("services/*/*.yaml", "backend/*.yaml", "deploy/nginx/*.yaml")
        for file in renamed.glob(pattern)
        for each in yaml.safe_load_all(file.read_text())
        if each and each.get("kind") == "Deployment"
    }
    assert named <= there
    assert {each for each in named if each.endswith("-service")} == {
        f"{PROJECT}-{each.replace('_', '-')}-service"
        for each in service.registered(Tree(renamed))
    }


@pytest.mark.kit
@pytest.mark.timeout(600)
def test_the_longest_name_fits(before: Path) -> None:
    longest = f"{'a' * 9}-{'b' * (LONGEST - 10)}"
    assert commands.run("rename", [longest + "c"], before) == 1
    lengths = {
        path: max(map(len, text.splitlines()), default=0)
        for path, text in texts(before).items()
    }
    run(before, "rename", longest)
    for path in Tree(before).files("."):
        if path.endswith(".py") and "kit/templates" not in path:
            text = (before / path).read_text()
            longest_line = max(map(len, text.splitlines()), default=0)
            assert longest_line <= max(88, lengths[path]), path


def test_services_are_added_and_removed_under_the_new_name(renamed: Path) -> None:
    state = snapshot(renamed)
    run(renamed, "new-service", OTHER)
    assert service.registered(Tree(renamed))[OTHER] == f"{NEW.snake}_{OTHER}_queue"
    key = f"{PROJECT}-{Name.parse(OTHER).kebab}-service"
    made = containers(renamed)[key]
    assert made["image"] == made["container_name"] == f"{CLONE}{key}"
    main = (renamed / f"services/{OTHER}/main.py").read_text()
    assert f'queue="{NEW.snake}_{OTHER}_queue"' in main
    run(renamed, "remove-service", OTHER)
    assert snapshot(renamed) == state
    run(renamed, "remove-service", SERVICE)
    assert not (renamed / "services/trial_price").exists()
