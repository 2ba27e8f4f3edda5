"""Price order: a task of the worker, which an endpoint sends."""

from celery import shared_task
from sqlmodel import Session, update

from app.core.database import translate_errors
from app.models.order import Order
from app.tasks.resources import get_worker_resources


@shared_task
def run_price_order(order_id: int) -> None:
    """Asks what an order costs, and notes it. A second run changes nothing."""
    resources = get_worker_resources()
    with translate_errors(), Session(resources.engine) as session:
        order = session.get(Order, order_id)
    if order is None:
        return  # deleted meanwhile
    wanted = {"sku": order.title, "quantity": 1}
    total = resources.call_service("pricing", {"payload": wanted})["total"]
    query = update(Order).filter_by(id=order_id, title=order.title)
    with translate_errors(), Session(resources.engine) as session:
        session.exec(query.values(total=total))
        session.commit()
