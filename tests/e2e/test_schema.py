"""The published schema is what the API does, and what a client can be made from.

Each operation gets some dozens of generated requests, good and bad; more with
`SCHEMA_EXAMPLES=2000 make e2e`.
"""

import importlib
import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.e2e.client import RECORDS, Api

EXAMPLES = int(os.environ.get("SCHEMA_EXAMPLES", "30"))


def test_every_answer_is_as_published(url: str, tmp_path: Path) -> None:
    """All checks of schemathesis, with examples, edge cases, chance and sequences."""
    command = [sys.executable, "-m", "schemathesis.cli"]
    command += ["--config-file", str(Path(__file__).with_name("schemathesis.toml"))]
    command += ["run", "--no-color", "--checks", "all", "--seed", "1"]
    command += ["--max-examples", str(EXAMPLES), "--request-timeout", "60"]
    command += [f"{url}/api/v1/openapi.json"]
    run = subprocess.run(command, capture_output=True, text=True, cwd=tmp_path)
    assert run.returncode == 0, run.stdout + run.stderr
    print(run.stdout)


def test_a_generated_client_works(
    api: Api, url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    schema = tmp_path / "openapi.json"
    schema.write_bytes(api.http.get("/api/v1/openapi.json").content)
    config = tmp_path / "config.yml"
    config.write_text("post_hooks: []\n")
    command = [sys.executable, "-m", "openapi_python_client", "generate"]
    command += ["--path", str(schema), "--config", str(config), "--meta", "none"]
    command += ["--output-path", str(tmp_path / "starter_client"), "--fail-on-warning"]
    made = subprocess.run(command, capture_output=True, text=True, cwd=tmp_path)
    assert made.returncode == 0, made.stdout + made.stderr

    monkeypatch.syspath_prepend(str(tmp_path))
    client = importlib.import_module("starter_client").Client(base_url=url)
    models = importlib.import_module("starter_client.models")
    process = importlib.import_module("starter_client.api.data.process_data")

    body = models.DataRequest(payload="hello", description="uppercase")
    answer = process.sync_detailed(
        client=client, body=body, idempotency_key="generated-client"
    )
    assert answer.status_code == 200
    assert answer.parsed.outcome["output"] == "HELLO"
    assert answer.headers["Location"].startswith(RECORDS)
    body = models.DataRequest(payload=[1, "a"], description="sort")
    refused = process.sync(client=client, body=body)
    assert isinstance(refused, models.Problem)
    assert refused.code == "unsortable_list"
