"""Speci men: a task of the worker, and when beat sends it."""

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
    """Your work belongs here: this counts the stored records, and logs the number.

    It may run twice, so let the second run change nothing. A service is asked by
    ``get_worker_resources().call_service("pricing", {"payload": 1})``. An endpoint with
    ``tasks: TaskPublisherDep`` has it run at once by ``await tasks.send(NAME)``, where
    NAME is
    "app.tasks.specimen.run_specimen".
    """
    query = select(func.count()).select_from(DataProcessingRecord)
    with translate_errors(), Session(get_worker_resources().engine) as session:
        number = session.exec(query).one()
    logger.info("%d records are stored", number)
    return number
