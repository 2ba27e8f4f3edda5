"""Expire orders: what the task does, and when."""

from datetime import UTC, datetime, timedelta

import pytest
from sqlmodel import Session

from app.core.config import Settings
from app.models.order import Order
from app.tasks.expire_orders import run_expire_orders
from app.tasks.resources import get_worker_resources
from app.tasks.scheduling import DAY, beat_schedule


@pytest.mark.usefixtures("worker")
def test_old_orders_end_that_are_open() -> None:
    old = datetime.now(UTC) - timedelta(seconds=DAY + 60)
    with Session(get_worker_resources().engine) as session:
        orders = [
            Order(title="a", created_at=old),
            Order(title="b", status="paid", created_at=old),
            Order(title="c"),
        ]
        session.add_all(orders)
        session.commit()
        assert run_expire_orders.apply(throw=True).get() == 1
        for order in orders:
            session.refresh(order)
        assert [order.status for order in orders] == ["expired", "paid", "open"]
    assert run_expire_orders.apply(throw=True).get() == 0


@pytest.mark.usefixtures("worker")
def test_beat_sends_it(settings: Settings) -> None:
    entry = beat_schedule(settings)["run_expire_orders"]
    assert entry["task"] == run_expire_orders.name
    assert 0 < entry["schedule"] < DAY
