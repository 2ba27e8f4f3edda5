# if events
"""The handler in a transaction, which is rolled back."""

import uuid
from contextlib import closing

import psycopg2

from app.specimen_service import SpecimenService
from chassis.database_url import PostgresUrl
from chassis.events import Event


def happened(type: str) -> Event:
    return Event(
        id=str(uuid.uuid4()),
        source="/test",
        type=type,
        subject="1",
        sequence=1,
        time="2026-01-31T23:30:00-01:00",
        data={},
    )


def test_events_are_counted_by_type_and_day(database_url: str) -> None:
    arguments = PostgresUrl(database_url).for_psycopg2()
    service = SpecimenService()
    with closing(psycopg2.connect(**arguments)) as connection:
        with connection.cursor() as cursor:
            cursor.execute(service.TABLES)
            for type in ("record.succeeded", "record.failed", "record.succeeded"):
                service.count(happened(type), cursor)
            cursor.execute("SELECT day::text, type, number FROM happened ORDER BY 2")
            assert cursor.fetchall() == [
                ("2026-02-01", "record.failed", 1),
                ("2026-02-01", "record.succeeded", 2),
            ]


# end
