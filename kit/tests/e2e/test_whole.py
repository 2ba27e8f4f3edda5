"""A service and a resource in a copy of the project: checked, run, asked, removed."""

from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from kit.tests.copies import python, snapshot
from local.otlp.receiver import Receiver

SERVICE = ["app", "main.py", "rabbitmq_client.py", "tests"]
BACKEND = [
    *("app/models/price_list.py", "app/models/invoice.py"),
    *("app/api/v1/endpoints/price_list.py", "app/api/v1/endpoints/invoice.py"),
    *("app/repositories/invoice_repository.py", "app/services/invoice_service.py"),
    *("tests/unit/test_price_list.py", "tests/unit/test_invoice.py"),
    "tests/integration/test_invoice.py",
]
E2E = ["tests/e2e/test_price_list.py", "tests/e2e/test_invoice.py"]
KUBERNETES = "tests/unit/kubernetes"
HASTE = {"OTEL_BSP_SCHEDULE_DELAY": "100", "OTEL_METRICS_EXPORTER": "none"}


def kit(project: Path, *words: str) -> None:
    python(project, "-m", "kit", *words)


def pytest_in(folder: Path, root: Path, *paths: str, **env: str) -> None:
    """Run tests of the copy. Servers, if any, come from its own `local`."""
    words = ["-m", "pytest", "-q", "-p", "no:cacheprovider", *paths]
    python(folder, *words, **env, PYTHONPATH=f"{folder}:{root}")


def types(folder: Path, root: Path, *paths: str) -> None:
    configuration = str(root / "pyproject.toml")
    cache = str(root / ".mypy_cache")
    words = ["-m", "mypy", "--config-file", configuration, "--cache-dir", cache]
    python(folder, *words, *paths, MYPYPATH=str(root), PYTHONPATH=str(folder))


def check(project: Path) -> None:
    """What `make check` says of what was generated."""
    for tool in (["black", "--check", "-q"], ["isort", "--check", "-q"], ["flake8"]):
        python(project, "-m", *tool, "backend", "services/price_list", "tests/e2e")
    types(project / "services/price_list", project, *SERVICE)
    types(project / "backend", project, *BACKEND)


def run_tests(project: Path) -> None:
    """The generated tests, and those that see the whole project."""
    pytest_in(project / "services/price_list", project, "tests")
    tests = [path for path in BACKEND if path.startswith("tests/")]
    also = ["tests/unit/test_openapi.py", "tests/integration/test_migrations.py"]
    also += ["tests/unit/test_config.py", "tests/unit/test_configuration_document.py"]
    pytest_in(project / "backend", project, *tests, *also)
    pytest_in(project, project, KUBERNETES, "-k", "services or network or schemas")
    assert_it_answers_and_is_traced(project)


def test_from_the_command_to_a_trace_and_back(project: Path) -> None:
    before = snapshot(project)
    kit(project, "new-service", "price-list")
    kit(project, "new-resource", "invoice")
    with ThreadPoolExecutor() as pool:
        jobs = [pool.submit(job, project) for job in (check, run_tests)]
    for job in jobs:
        job.result()
    kit(project, "remove-resource", "invoice")
    kit(project, "remove-service", "price_list")
    assert snapshot(project) == before


def assert_it_answers_and_is_traced(project: Path) -> None:
    """Its own tests through nginx, over a stack that sends its traces here."""
    with Receiver() as receiver:
        told = {"OTEL_EXPORTER_OTLP_ENDPOINT": receiver.grpc_url, **HASTE}
        pytest_in(project, project, *E2E, **told)
        edges = {
            (parent.service, parent.name, span.service, span.name)
            for span in receiver.spans
            for parent in receiver.spans
            if span.parent == parent.id
        }
    queue = "price_list_queue"
    assert ("api", f"publish {queue}", "price_list", f"process {queue}") in edges
    server = ("api", "POST /api/v1/price-list/process", "api", f"publish {queue}")
    assert server in edges
