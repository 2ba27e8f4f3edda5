"""Every service is in every place that must name it, under one queue of its own."""

import json

import pytest

from local.apps import service_folders
from local.registry import registered
from tests.unit.kubernetes.manifests import ROOT, SERVICES, one, workload

QUEUES = {name: workload(name).environment()["QUEUE_NAME"] for name in SERVICES}


def test_every_folder_is_a_service_with_a_queue_of_its_own() -> None:
    assert set(SERVICES.values()) == set(service_folders())
    assert sorted(QUEUES.values()) == sorted(registered().values())
    assert len(set(QUEUES.values())) == len(SERVICES)


@pytest.mark.parametrize("name", SERVICES)
def test_all_places_name_the_same_queue(name: str) -> None:
    queue = QUEUES[name]
    definitions = json.loads((ROOT / "rabbitmq/definitions.json").read_text())
    declared = [each["name"] for each in definitions["queues"]]
    assert declared.count(queue) == declared.count(f"{queue}_dlq") == 1
    triggers = one("production", "ScaledObject", name)["spec"]["triggers"]
    scaled = {each["metadata"].get("queueName", queue) for each in triggers}
    assert scaled == {queue}


@pytest.mark.parametrize("name", SERVICES)
def test_it_runs_the_image_of_its_name(name: str) -> None:
    image, _, _ = workload(name).main["image"].partition(":")
    assert image == name
    for overlay in ("development", "production"):
        config = one(overlay, "ConfigMap", f"{name}-config")["data"]
        assert config["QUEUE_NAME"] == QUEUES[name]
