"""The API behaves as its published schema says.

Each operation gets dozens of generated requests, good and bad; more with
`SCHEMA_EXAMPLES=2000 make e2e`.
"""

import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from tests.e2e.client import Api

EXAMPLES = int(os.environ.get("SCHEMA_EXAMPLES", "15"))

CONFIGURATION = Path(__file__).with_name("schemathesis.toml")

# Every field of a form is text, so a number that schemathesis sends for a file is too.
FORM = """
[[operations]]
include-operation-id = "{}"
checks.negative_data_rejection.expected-statuses = ["2xx", "4xx"]
"""

ADVICE = """
Above, schemathesis names the endpoint, the rule that it breaks (ST...), and a request
to try. Mend the endpoint, or say in its schema what it does: bounds by Query(ge=...)
and Field(max_length=...), further answers by responses=responses(404, 503).
An endpoint that a rule was not made for is excepted in tests/e2e/schemathesis.toml."""


def forms(schema: dict[str, Any]) -> list[str]:
    """The operations that take a form or an upload."""
    return [
        operation["operationId"]
        for methods in schema["paths"].values()
        for operation in methods.values()
        if "form" in str(list(operation.get("requestBody", {}).get("content", [])))
    ]


@pytest.mark.timeout(240 + 0.4 * EXAMPLES)
def test_every_answer_is_as_published(api: Api, url: str, tmp_path: Path) -> None:
    """Runs all checks of schemathesis, with examples, edge cases, random values and
    sequences."""
    schema = api.get_json("/api/v1/openapi.json")
    configuration = tmp_path / "schemathesis.toml"
    exceptions = "".join(map(FORM.format, forms(schema)))
    # This must be first: if several fit an operation, schemathesis takes the first.
    configuration.write_text(exceptions + CONFIGURATION.read_text())
    command = [sys.executable, "-m", "schemathesis.cli"]
    command += ["--config-file", str(configuration)]
    command += ["run", "--no-color", "--checks", "all", "--seed", "1"]
    command += ["--max-examples", str(EXAMPLES), "--request-timeout", "60"]
    command += [f"{url}/api/v1/openapi.json"]
    run = subprocess.run(command, capture_output=True, text=True, cwd=tmp_path)
    assert run.returncode == 0, run.stdout + run.stderr + ADVICE
    print(run.stdout)
