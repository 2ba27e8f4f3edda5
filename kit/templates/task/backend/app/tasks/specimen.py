"""Speci men: a task of the worker, with its schedule."""

import logging

from celery import shared_task
from sqlmodel import Session, func, select

from app.core.database import translate_errors
from app.models.database import DataProcessingRecord
from app.tasks.resources import get_worker_resources
from app.tasks.scheduling import scheduled

logger = logging.getLogger(__name__)

HOUR = 60 * 60.0


@scheduled(lambda settings: HOUR, queue="low")
@shared_task
def run_specimen() -> int:
    """Replace this with your work: it counts the stored records, and logs the number.

    It may run twice, so the second run must change nothing. To call a service, use
    ``get_worker_resources().call_service("pricing", {"payload": 1})``. An endpoint with
    ``tasks: TaskPublisherDep`` starts it with ``await tasks.send(NAME)``, where NAME is
    "app.tasks.specimen.run_specimen".
    """
    query = select(func.count()).select_from(DataProcessingRecord)
    with translate_errors(), Session(get_worker_resources().engine) as session:
        number = session.exec(query).one()
    logger.info("%d records are stored", number)
    return number
