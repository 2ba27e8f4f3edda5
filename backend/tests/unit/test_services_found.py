"""The registry of services, and the discovery of routers."""

from pathlib import Path
from types import SimpleNamespace
from typing import cast

import pytest
from fastapi import Request

from app.api import v1
from app.api.dependencies import service_for
from app.core.config import Settings
from app.core.services import SERVICES, Service, ServiceRegistry

PRICING = Service("pricing", "pricing_queue")
DATA = Service("data", "data_queue")
REGISTRY = ServiceRegistry((PRICING, DATA))


def test_services_are_found_by_name_and_by_queue() -> None:
    assert REGISTRY.get_service("pricing") is PRICING
    assert REGISTRY.find_service("pricing_queue") is PRICING
    assert REGISTRY.find_service("other_queue") is None
    assert PRICING.dead_letter_queue == "pricing_queue_dlq"
    with pytest.raises(
        LookupError, match="app.core.services has no service named 'tax'"
    ):
        REGISTRY.get_service("tax")


def test_work_of_an_older_version_belongs_to_the_data_service() -> None:
    assert REGISTRY.find_service(None) is DATA
    assert ServiceRegistry((PRICING,)).find_service(None) is None


@pytest.mark.parametrize("service", SERVICES, ids=[each.name for each in SERVICES])
def test_the_environment_may_name_another_queue(
    service: Service, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("ENV_FILE")
    variable = f"{service.name.upper()}_QUEUE_NAME"
    monkeypatch.delenv(variable, raising=False)
    assert Settings().services.get_service(service.name) == service
    (tmp_path / ".env").write_text(f"{variable}=from-file\n")
    assert Settings().services.get_service(service.name).queue == "from-file"
    monkeypatch.setenv(variable, "another")
    assert Settings().services.get_service(service.name).queue == "another"


async def test_an_endpoint_gets_the_work_of_its_service() -> None:
    services = {"pricing": object(), "data": object()}
    resources = SimpleNamespace(data_services=services)
    app = SimpleNamespace(state=SimpleNamespace(resources=resources))
    request = cast(Request, SimpleNamespace(app=app))
    assert await service_for("pricing")(request) is services["pricing"]
    assert service_for("pricing") is service_for("pricing")  # tests replace it


@pytest.mark.promise(
    "ARCHITECTURE.md", "The API loads each module of `backend/app/api/v1/endpoints/`."
)
def test_every_router_is_found_and_its_tag_described() -> None:
    assert "/database" in {router.prefix for router in v1.routers}
    tags = {tag["name"]: tag["description"] for tag in v1.tags()}
    assert all(tags.values())
    assert {name for router in v1.routers for name in router.tags} <= set(tags)
