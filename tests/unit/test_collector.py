"""The Collector's two configurations, without the Collector."""

from typing import Any

import pytest
import yaml

from local.apps import ROOT

FOLDER = ROOT / "observability"
SENDING, PRINTING = "otel-collector-config.yaml", "otel-collector-debug.yaml"
FILES = (SENDING, PRINTING)
KINDS = ("receivers", "processors", "exporters")


def load(name: str) -> dict[str, Any]:
    loaded: dict[str, Any] = yaml.safe_load((FOLDER / name).read_text())
    return loaded


@pytest.mark.parametrize("name", FILES)
def test_each_kind_of_telemetry_passes_what_is_defined(name: str) -> None:
    config = load(name)
    pipelines = config["service"]["pipelines"]
    assert set(pipelines) == {"traces", "metrics", "logs"}
    for kind in KINDS:
        used = {each for pipeline in pipelines.values() for each in pipeline[kind]}
        assert used == set(config[kind]), kind
    assert set(config["service"]["extensions"]) == set(config["extensions"])


@pytest.mark.parametrize("name", FILES)
def test_it_refuses_before_it_works_and_gathers_at_the_end(name: str) -> None:
    """By the Collector's documentation: data that a batch has taken is not refused."""
    for pipeline in load(name)["service"]["pipelines"].values():
        assert pipeline["processors"][0] == "memory_limiter"
        assert pipeline["processors"][-1] == "batch"


@pytest.mark.parametrize("name", FILES)
def test_it_refuses_before_its_memory_is_used_up(name: str) -> None:
    """A fifth is left for what the limiter does not see."""
    limiter = load(name)["processors"]["memory_limiter"]
    assert limiter["check_interval"] == "1s"
    assert limiter.get("spike_limit_mib", 0) < limiter["limit_mib"]
    for limit in container_limits():
        assert limiter["limit_mib"] <= 0.8 * limit


def container_limits() -> list[int]:
    """In MiB: with compose, and in Kubernetes."""
    compose = yaml.safe_load((ROOT / "docker-compose.yml").read_text())
    limits = [compose["services"]["otel-collector"]["mem_limit"].removesuffix("m")]
    for each in yaml.safe_load_all((FOLDER / "otel-collector.yaml").read_text()):
        if each["kind"] == "Deployment":
            (container,) = each["spec"]["template"]["spec"]["containers"]
            limits.append(container["resources"]["limits"]["memory"].removesuffix("Mi"))
    assert len(limits) == 2
    return [int(limit) for limit in limits]


def test_an_outage_of_the_backend_is_waited_for_within_limits() -> None:
    """Of memory and of time: for ever would mean to send old data first."""
    config = load(SENDING)
    for name, exporter in config["exporters"].items():
        assert 0 < exporter["sending_queue"]["queue_size"] <= 10_000, name
        longest = exporter["retry_on_failure"]["max_elapsed_time"]
        assert 0 < int(longest.removesuffix("s")) <= 300, name
    batch = config["processors"]["batch"]
    assert 0 < batch["send_batch_size"] <= batch["send_batch_max_size"] <= 10_000


def test_what_a_process_says_of_itself_stays() -> None:
    assert load(SENDING)["processors"]["resourcedetection"]["override"] is False
