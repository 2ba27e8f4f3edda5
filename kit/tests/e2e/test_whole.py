"""Two services, a resource and a task in a copy: checked, tested, called, removed."""

import shutil
import subprocess
from pathlib import Path

import pytest

from kit import service
from kit.names import Name
from kit.tests.copies import (
    HAS_DEMO,
    OTHER,
    RESOURCE,
    SERVICE,
    TASK,
    snapshot,
)
from kit.tests.e2e.runs import BACKEND, check, kit, pytest_in, side_by_side
from kit.tree import Tree
from local.otlp.receiver import Receiver

ASKED, ASKING = Name.parse(SERVICE), Name.parse(OTHER)
TABLE = Name.parse(RESOURCE)

# A service that calls another one.
CALLER = """
import json

from chassis.calls import call_service


class {name.pascal}Service:
    def call(self, data):
        return json.dumps(call_service("{queue}", json.loads(data))), "{name.snake}"
"""

SCENARIO = Path(__file__).with_name("scenario.py")
E2E = ["test_scenario", "test_surroundings", f"test_{ASKED.snake}"]
E2E += [f"test_{ASKING.snake}", f"test_{TABLE.snake}"]

HASTE = {"OTEL_BSP_SCHEDULE_DELAY": "100", "OTEL_METRICS_EXPORTER": "none"}


@pytest.fixture(autouse=True)
def under_git(project: Path) -> None:
    """Tests of documents ask git for the project's files."""
    subprocess.run(["git", "init", "-q"], cwd=project, check=True)


@pytest.mark.kit
@pytest.mark.timeout(1200)
def test_services_are_generated_run_traced_and_removed(project: Path) -> None:
    assert_generated_code_is_whole(project)


@pytest.mark.kit
@pytest.mark.timeout(1200)
@pytest.mark.skipif(not HAS_DEMO, reason="the data service was taken out")
def test_the_same_without_the_data_service(project: Path) -> None:
    kit(project, "remove-demo")
    side_by_side(lambda: check(project), lambda: run_unit_tests(project))
    assert_generated_code_is_whole(project)


def assert_generated_code_is_whole(project: Path) -> None:
    before = snapshot(project)
    kit(project, "new-service", SERVICE, "--events")
    kit(project, "new-service", OTHER)
    kit(project, "new-resource", RESOURCE)
    kit(project, "new-task", TASK)
    side_by_side(lambda: check(project), lambda: run_unit_tests(project))
    ask(project)
    kit(project, "remove-task", TASK)
    kit(project, "remove-resource", RESOURCE)
    kit(project, "remove-service", SERVICE)
    kit(project, "remove-service", OTHER)
    assert snapshot(project) == before


def run_unit_tests(project: Path) -> None:
    """The tests that see the whole project, and the generated ones."""
    for folder in (ASKED.snake, ASKING.snake):
        if (project / "services" / folder).is_dir():
            pytest_in(project / "services" / folder, project, "tests")
    generated = [f"unit/test_{TABLE.snake}.py", f"integration/test_{TABLE.snake}.py"]
    generated += [f"integration/test_{Name.parse(TASK).snake}_task.py"]
    there = [name for name in generated if (project / "backend/tests" / name).exists()]
    there += ["integration/test_migrations.py", "integration/test_access.py"]
    names = [f"tests/{name}" for name in there]
    pytest_in(project / "backend", project, *BACKEND, *names)
    # All, since any of them may look at every service; but one needs a `.venv`.
    root = ("tests/unit", "--ignore=tests/unit/test_faults.py")
    pytest_in(project, project, *root, "local/tests/unit/test_environment.py")


def ask(project: Path) -> None:
    """Run the generated e2e tests, with a stack that exports its traces to this
    process."""
    queue = service.registered(Tree(project))[ASKED.snake]
    own = project / f"services/{ASKING.snake}/app/{ASKING.snake}_service.py"
    made = own.read_text()
    own.write_text(CALLER.format(name=ASKING, queue=queue))
    scenario = project / "tests/e2e/test_scenario.py"
    shutil.copy(SCENARIO, scenario)
    # `local/isolation.py` keeps the variables of this process from tests.
    variables = project / "tests/conftest.py"
    usual = variables.read_text()
    try:
        with Receiver() as receiver:
            told = {"OTEL_EXPORTER_OTLP_ENDPOINT": receiver.grpc_url, **HASTE}
            tests = [f"tests/e2e/{name}.py" for name in E2E]
            variables.write_text(f"{usual}\nos.environ.update({told})\n")
            pytest_in(project, project, *tests)
            assert_traced(receiver, service.registered(Tree(project)))
    finally:
        variables.write_text(usual)
        scenario.unlink()
        own.write_text(made)


def assert_traced(receiver: Receiver, queues: dict[str, str]) -> None:
    """One trace from the API through both services."""
    asked, asking = queues[ASKED.snake], queues[ASKING.snake]
    path = [
        ("api", f"POST /api/v1/{ASKING.kebab}/process"),
        ("api", f"publish {asking}"),
        (ASKING.snake, f"process {asking}"),
        (ASKING.snake, f"publish {asked}"),
        (ASKED.snake, f"process {asked}"),
    ]
    edges = {
        ((parent.service, parent.name), (span.service, span.name), span.trace)
        for span in receiver.spans
        for parent in receiver.spans
        if span.parent == parent.id
    }
    traces = {trace for *_, trace in edges}
    for parent, child in zip(path, path[1:], strict=False):
        traces &= {trace for *edge, trace in edges if edge == [parent, child]}
    assert traces, "no trace goes through both services"
