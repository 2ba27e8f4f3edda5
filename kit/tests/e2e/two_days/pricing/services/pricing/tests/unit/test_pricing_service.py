"""The class alone: JSON in, JSON out."""

import json

import pytest

from app.pricing_service import PricingService
from chassis.errors import ServiceError


def request(sku: str, quantity: float) -> str:
    payload = {"sku": sku, "quantity": quantity}
    return json.dumps({"payload": payload, "description": None})


def test_the_total() -> None:
    outcome, task_type = PricingService(str.upper).call(request("apple", 4))
    assert json.loads(outcome) == {"sku": "APPLE", "total": 100}
    assert task_type == "pricing"


@pytest.mark.parametrize(
    ("sku", "quantity", "code"), [("apple", 0.5, "too_few"), ("plum", 1, "unknown_sku")]
)
def test_refusals(sku: str, quantity: float, code: str) -> None:
    with pytest.raises(ServiceError) as refused:
        PricingService(str.upper).call(request(sku, quantity))
    assert refused.value.code == code
