"""Expire orders: a task of the worker, and when beat sends it."""

import logging
from datetime import timedelta

from celery import shared_task
from sqlmodel import Session, col, func, update

from app.core.database import translate_errors
from app.models.order import Order
from app.tasks.resources import get_worker_resources
from app.tasks.scheduling import DAY, scheduled

logger = logging.getLogger(__name__)


@scheduled(lambda settings: DAY / 10, queue="low")
@shared_task
def run_expire_orders() -> int:
    """Ends the orders that nobody has paid in time. A second run changes nothing."""
    oldest = func.now() - timedelta(seconds=DAY)
    query = update(Order).where(col(Order.status) == "open", Order.created_at < oldest)
    with translate_errors(), Session(get_worker_resources().engine) as session:
        ended = session.exec(query.values(status="expired")).rowcount
        session.commit()
    logger.info("%d orders have expired", ended)
    return int(ended)
