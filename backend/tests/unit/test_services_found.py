"""Named types for endpoints, and the routers that are found."""

from types import SimpleNamespace
from typing import Any, cast

import pytest
from fastapi import Request

from app.api import openapi, v1
from app.core.dependencies import get_data_service, service_for
from app.services.data_service import DataService


async def test_a_service_is_asked_on_its_own_queue(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    parts: list[Any] = [object(), object(), object()]
    data = DataService(parts[0], parts[1], parts[2], "data_queue")
    resources = SimpleNamespace(data_service=data)
    app = SimpleNamespace(state=SimpleNamespace(resources=resources))
    request = cast(Request, SimpleNamespace(app=app))
    assert await get_data_service(request) is data

    monkeypatch.delenv("PRICING_QUEUE_NAME", raising=False)
    pricing = await service_for("pricing")(request)
    assert vars(pricing) == {**vars(data), "_queue_name": "pricing_queue"}
    monkeypatch.setenv("PRICING_QUEUE_NAME", "another_queue")
    pricing = await service_for("pricing")(request)
    assert vars(pricing)["_queue_name"] == "another_queue"


def test_every_router_is_found_and_its_tag_described() -> None:
    prefixes = [router.prefix for router in v1.routers]
    assert {"/data", "/database"} <= set(prefixes)
    tags = {tag["name"]: tag["description"] for tag in v1.tags()}
    assert all(tags.values())
    assert {name for router in v1.routers for name in router.tags} <= set(tags)
    assert tags["data"] == openapi.TAGS[0]["description"]
