"""The data service for its clients: Swagger UI, a generated client, figures."""

import importlib
import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from local.apps import ROOT
from local.registry import registered
from local.stack import Stack
from tests.e2e.browser import Browser
from tests.e2e.client import RECORDS, Api, wait_for

PROCESS = "#operations-data-process_data"
OWN = {"data", "database", "observability", "root"}
ANSWER = f"{PROCESS} .live-responses-table"


def test_swagger_ui_executes_a_request(browser: Browser, site: str) -> None:
    browser.call("Page.navigate", url=f"{site}/api/v1/docs")
    browser.click(f"{PROCESS} .opblock-summary-control")
    browser.click(f"{PROCESS} .try-out__btn")
    browser.click(f"{PROCESS} .execute")
    browser.wait(f"document.querySelector('{ANSWER} .response-col_status')")

    status = browser.evaluate(
        f"document.querySelector('{ANSWER} tbody .response-col_status').innerText"
    )
    body = browser.evaluate(f"document.querySelector('{ANSWER} code').innerText")
    assert status.split()[0] == "200"
    result = json.loads(body)
    assert result["task_status"] == "Success"
    assert result["outcome"]["output"] == "HELLO WORLD"
    assert f"{site}/api/v1/data/process" in browser.asked.values()
    _keep(browser)


def _keep(browser: Browser) -> None:
    request = f"{PROCESS} .opblock-section-request-body"
    browser.evaluate(f"document.querySelector('{request}').scrollIntoView()")
    if place := os.environ.get("SCREENSHOT"):
        (ROOT / Path(place)).write_bytes(browser.screenshot())


def test_a_generated_client_works(
    api: Api, url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    schema = tmp_path / "openapi.json"
    described = api.get_json("/api/v1/openapi.json")
    # For a team's endpoints, the client may not know every kind of body.
    described["paths"] = {
        path: methods
        for path, methods in described["paths"].items()
        if any(OWN.intersection(each.get("tags", [])) for each in methods.values())
    }
    schema.write_text(json.dumps(described))
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


def test_metrics_count_calls_and_measure_queues(
    api: Api, launched: Stack | None, request: pytest.FixtureRequest
) -> None:
    if launched:
        request.getfixturevalue("rabbitmq")  # or skip: over Redis nothing is measured
    before = api.get_json("/api/v1/metrics")["rpc"]
    api.process("x")

    def all_queues() -> dict[str, Any] | None:
        metrics: dict[str, Any] = api.get_json("/api/v1/metrics")
        depths = metrics["queues"] or {}
        return metrics if all(depths.values()) else None

    metrics = wait_for(all_queues, "the depths of all queues")

    rpc = metrics["rpc"]
    assert rpc["latency"]["count"] > before["latency"]["count"]
    assert 0 < rpc["latency"]["p50"] <= rpc["latency"]["p95"]
    assert rpc["latency"]["avg"] > 0
    assert rpc["timeouts_total"] == before["timeouts_total"]
    queues = registered().values()
    assert set(metrics["queues"]) == {*queues, *(f"{each}_dlq" for each in queues)}
    for depth in metrics["queues"].values():
        assert set(depth) == {"messages", "messages_ready", "messages_unacknowledged"}
        assert min(depth.values()) >= 0
