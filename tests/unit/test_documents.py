"""What documents name is there: links, commands, files, variables, diagrams."""

import json
import re
import sys
import tomllib
from functools import cache
from importlib.util import find_spec
from itertools import chain
from pathlib import Path

import pytest
import quickjs

from local.apps import ROOT
from local.bootstrap import COMMANDS
from tests.unit.documents import (
    anchors,
    blocks,
    code,
    commands,
    documents,
    links,
    programs,
    shown,
    tracked,
)

EACH = pytest.mark.parametrize(
    "document", documents(), ids=lambda path: str(path.relative_to(ROOT))
)
MAKEFILE = (ROOT / "Makefile").read_text()
TARGETS = set(re.findall(r"^([a-z0-9-]+):", MAKEFILE, re.MULTILINE))

# Where a document may leave off the beginning of a path.
BASES = (
    "",
    "backend",
    "backend/app",
    "packages/chassis/src",
    "packages/chassis/src/chassis",
    "services/*",
    "services/*/app",
)
# What is made while the system runs, keys of secrets, and what a reader is shown how to
# add.
MADE = re.compile(
    r"\.local|backups|\.venv|\.vscode|\.env$|CHANGELOG-KIT\.md$"
    r"|(default_user|redis)\.conf$|.*(pricing|invoice|daily_report|[/_]order)"
)
PATH = re.compile(
    r"\.?[\w-]+(/[\w.*-]+)*/|([\w.*-]+/)*[\w.*-]*[\w*]\."
    r"(py|md|sh|yaml|yml|json|conf|toml|ini|txt|in|svg|png|js|lua)"
)
VARIABLE = re.compile(r"[A-Z][A-Z0-9]*(?:_[A-Z0-9]+)+_?")


@EACH
def test_links_have_targets(document: Path) -> None:
    for link in links(document):
        place, _, anchor = link.partition("#")
        target = (document.parent / place).resolve() if place else document
        assert target.exists(), link
        if anchor:
            assert anchor in anchors(target), link


@EACH
def test_commands_exist(document: Path) -> None:
    for command in commands(document):
        if found := re.match(r"make ([a-z0-9-]+)", command):
            assert found[1] in TARGETS, command
        if found := re.match(r"(?:\S*python3?) -m local ([a-z0-9-]+)", command):
            assert found[1] in COMMANDS, command


# Of a fresh clone these are in .venv only. A machine may lack `python`, too.
OF_THE_VENV = {path.name for path in Path(sys.executable).parent.iterdir()}
OF_THE_MACHINE = {"python3", "redis-server", "redis-cli"}


def needs_a_path(command: str) -> bool:
    """Whether a command only works where .venv is activated."""
    return bool(set(programs(command)) & (OF_THE_VENV - OF_THE_MACHINE))


@EACH
def test_commands_work_in_a_fresh_clone(document: Path) -> None:
    assert [command for command in commands(document) if needs_a_path(command)] == []


def test_commands_in_messages_work_in_a_fresh_clone() -> None:
    """Messages, scripts, the example of settings."""
    found = [
        f"{name}: {command}"
        for name in tracked()
        if name.endswith((".py", ".sh", ".example", "Makefile"))
        for command in shown(ROOT / name)
        if needs_a_path(command)
    ]
    assert found == []


@pytest.mark.parametrize(
    ("command", "needs"),
    [
        ("cd backend && alembic merge heads", True),
        ("python -m bench.soak", True),
        ("A=b pytest -k x", True),
        ("alembic", False),  # the library
        ("../.venv/bin/python -m alembic upgrade head", False),
        ("docker-compose run --rm api alembic upgrade head", False),
        ("python3 -m local run", False),
    ],
)
def test_a_command_that_needs_a_path_is_found(command: str, needs: bool) -> None:
    assert needs_a_path(command) is needs


@EACH
def test_files_exist(document: Path) -> None:
    for name in code(document):
        if PATH.fullmatch(name) and not MADE.match(name):
            assert any(exists(base, name) for base in (here(document), *BASES)), name


def here(document: Path) -> str:
    return str(document.parent.relative_to(ROOT))


def exists(base: str, name: str) -> bool:
    """Names without a folder are looked for by themselves, wherever they are."""
    if "/" not in name:
        return any(Path(file).match(name) for file in tracked())
    return any(ROOT.glob(f"./{base}/{name.removesuffix('/')}"))


@cache
def words() -> set[str]:
    """The names of variables in everything that is no document."""
    found: set[str] = set()
    for name in tracked():
        if not name.endswith((".md", ".png", ".txt")):
            found.update(VARIABLE.findall((ROOT / name).read_text()))
    return found


@EACH
def test_variables_exist(document: Path) -> None:
    for name in code(document):
        for variable in VARIABLE.findall(name):
            known = variable in words()
            if variable.endswith("_"):  # a prefix, before * or ...
                known = any(word.startswith(variable) for word in words())
            assert known, variable


@pytest.fixture(scope="module")
def mermaid() -> quickjs.Context:
    """Mermaid itself, over the part of a browser that its parsers ask for."""
    spec = find_spec("mermaidx")
    assert spec is not None and spec.origin is not None
    assets = Path(spec.origin).with_name("assets")
    context = quickjs.Context()
    context.set_max_stack_size(4 * 1024 * 1024)
    context.eval("globalThis.__log = () => {}; globalThis.__measureText = () => 10;")
    for name in ("path_bbox.js", "dom_shim.js", "mermaid.js"):
        context.eval((assets / name).read_text())
    return context


def fault(mermaid: quickjs.Context, diagram: str) -> str:
    """What is wrong with a diagram; empty for a good one."""
    mermaid.eval(f"""
        globalThis.fault = "the parser did not end";
        mermaid.parse({json.dumps(diagram)}).then(
            () => {{ fault = "" }}, error => {{ fault = String(error.message) }});
        """)
    while mermaid.execute_pending_job():
        pass
    return str(mermaid.eval("fault.slice(0)"))


@EACH
def test_diagrams_parse(document: Path, mermaid: quickjs.Context) -> None:
    for diagram in blocks(document, "mermaid"):
        assert not fault(mermaid, diagram), diagram


@pytest.mark.parametrize(
    "diagram", ["flowchat LR\n a --> b", "sequenceDiagram\n a->>", "flowchart LR\n a[b"]
)
def test_a_broken_diagram_is_found(mermaid: quickjs.Context, diagram: str) -> None:
    assert fault(mermaid, diagram)


def test_help_names_every_target_and_every_command_has_one() -> None:
    phony = re.search(r"^\.PHONY: (.+)$", MAKEFILE, re.MULTILINE)
    assert phony is not None
    described = set(re.findall(r"^([a-z0-9-]+):.*## \S", MAKEFILE, re.MULTILINE))
    assert described == TARGETS == set(phony[1].split())
    assert set(COMMANDS) <= TARGETS


def test_every_dependency_has_its_reason() -> None:
    document = (ROOT / "docs" / "DEPENDENCIES.md").read_text()
    rows = re.findall(r"^\| (.+) \| \S", document, re.MULTILINE)
    explained = {name for row in rows for name in row.split(", ")}
    named = {
        re.split(r"[<>=;]", text)[0]
        for file in tracked()
        if Path(file).name == "pyproject.toml"
        for text in dependencies(ROOT / file)
    }
    for file in tracked():
        if Path(file).name == "package.json":
            named |= json.loads((ROOT / file).read_text())["dependencies"].keys()
    ours = {"fastapi-starter-chassis", "fastapi-starter-chassis[events]"}
    assert explained - {"package", "---"} == named - ours


def dependencies(project: Path) -> list[str]:
    """What a project names, its groups' and its extras' too."""
    read = tomllib.loads(project.read_text())
    own = read["project"]
    groups = read.get("dependency-groups", {}).values()
    more = [*groups, *own.get("optional-dependencies", {}).values()]
    return [*own.get("dependencies", []), *chain.from_iterable(more)]
