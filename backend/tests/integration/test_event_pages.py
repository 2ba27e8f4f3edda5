"""A page of events costs the same in a long log and in a short one."""

from collections.abc import Iterator
from typing import Any

import psycopg2
import pytest
from sqlalchemy.dialects import postgresql
from sqlalchemy.engine import make_url

from app.repositories.event_repository import EventFilter, next_events
from tests.integration.conftest import migrate

# Sequences below those of real events.
FILL = """
INSERT INTO record_events (sequence, type, subject, owner, data)
SELECT n, CASE WHEN n %% 2 = 0 THEN 'plan.even' ELSE 'plan.odd' END, 'plan-' || n / 4,
    CASE WHEN n %% 2 = 0 THEN 'even' ELSE 'odd' END, '{}'
FROM generate_series(%s, %s) AS n"""
OWN = "event_pages"

SHORT, LONG = 2_000, 60_000

# Of each kind one that many events have, and one that none of many has.
FILTERS = [
    EventFilter(owner, subject, type)
    for owner in (None, "even", "nobody")
    for subject in (None, "plan-100", "plan-x")
    for type in (None, "plan.even", "plan.odd", "plan.none")
]


@pytest.fixture
def cursor(database_url: str) -> Iterator[Any]:
    """In a database of its own: a page at the end of the log goes through the events
    of other tests too."""
    server = psycopg2.connect(database_url.replace("postgresql+psycopg2", "postgresql"))
    server.autocommit = True
    with server.cursor() as cursor:
        cursor.execute(f"CREATE DATABASE {OWN}")
    url = make_url(database_url).set(database=OWN)
    migrate(url.render_as_string(hide_password=False))
    connection = psycopg2.connect(
        url.set(drivername="postgresql").render_as_string(hide_password=False)
    )
    connection.autocommit = True
    with connection.cursor() as cursor:
        yield cursor
    connection.close()
    with server.cursor() as cursor:
        cursor.execute(f"DROP DATABASE {OWN} WITH (FORCE)")
    server.close()


def blocks(cursor: Any, after: int, wanted: EventFilter) -> int:
    """How many blocks PostgreSQL looks at."""
    new_dialect: Any = postgresql.psycopg2.dialect  # it has no types
    query = next_events(after, 100, wanted).compile(
        dialect=new_dialect(), compile_kwargs={"literal_binds": True}
    )
    cursor.execute(f"EXPLAIN (ANALYZE, BUFFERS, FORMAT JSON) {query}")
    (plan,) = cursor.fetchone()[0]
    top = plan["Plan"]
    return int(top["Shared Hit Blocks"]) + int(top["Shared Read Blocks"])


def test_a_page_costs_the_same_in_a_long_log(cursor: Any) -> None:
    """For each filter, from the begin, the middle and the end of the log."""
    costs = []
    first = 1
    for length in (SHORT, LONG):
        cursor.execute(FILL, (first, length))
        first = length + 1
        cursor.execute("VACUUM ANALYZE record_events")
        places = (0, length // 2, length - 10)
        costs.append(
            {
                (place, wanted): blocks(cursor, places[place], wanted)
                for place in range(3)
                for wanted in FILTERS
            }
        )
    short, long = costs
    slow = {
        (place, wanted): (short[place, wanted], cost)
        for (place, wanted), cost in long.items()
        # A taller index, and pages of the table that hold fewer of the wanted rows.
        if cost > 3 * short[place, wanted] + 60
    }
    assert not slow
