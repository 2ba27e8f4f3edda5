"""Price order: what the task does."""

from typing import Any

import pytest
from sqlmodel import Session

from app.models.order import Order
from app.tasks.price_order import run_price_order
from app.tasks.resources import WorkerResources, get_worker_resources


@pytest.mark.usefixtures("worker")
def test_the_order_has_its_price(monkeypatch: pytest.MonkeyPatch) -> None:
    def answer(_: object, name: str, payload: dict[str, Any]) -> dict[str, Any]:
        assert (name, payload["payload"]["sku"]) == ("pricing", "pear")
        return {"sku": "PEAR", "total": 30}

    monkeypatch.setattr(WorkerResources, "call_service", answer)
    with Session(get_worker_resources().engine) as session:
        order = Order(title="pear")
        session.add(order)
        session.commit()
        run_price_order.apply(kwargs={"order_id": order.id}, throw=True)
        session.refresh(order)
        assert order.total == 30


@pytest.mark.usefixtures("worker")
def test_an_order_that_is_gone_has_none() -> None:
    run_price_order.apply(kwargs={"order_id": 2**60}, throw=True)
