"""Maintenance of the event log, as the owner of the tables.

    python -m app.event_log rebuild [--apply]
    python -m app.event_log prune DAYS

``rebuild`` compares the records with the log; ``--apply`` also corrects them. ``prune``
deletes events older than DAYS whose record is gone.
"""

import argparse
from datetime import timedelta

from app.core.config import load_settings
from app.core.database import create_sync_engine, translate_errors
from app.core.exceptions import DatabaseUnavailable
from app.repositories.event_log import (
    compare_records,
    delete_old_events,
    replace_records,
)
from chassis.logs import configure_logging

MOST_DAYS = 36_500
REPORT = (
    "{verb} {0.missing} missing, {0.different} different, {0.surplus} surplus records"
)


def main(arguments: list[str] | None = None) -> int:
    """Run one command; 1 if the records differ from the log and stay so."""
    parser = argparse.ArgumentParser(prog="app.event_log", description=__doc__)
    commands = parser.add_subparsers(dest="command", required=True)
    commands.add_parser("rebuild").add_argument("--apply", action="store_true")
    commands.add_parser("prune").add_argument("days", metavar="DAYS", type=_age)
    given = parser.parse_args(arguments)
    settings = load_settings()
    configure_logging("event-log", settings.log_level, settings.log_format)
    owner = settings.migrations.of_owner(settings.database)
    engine = create_sync_engine(owner, statement_seconds=0, pool_size=1)
    try:
        with translate_errors(), engine.connect() as connection:
            if given.command == "prune":
                total = 0
                while deleted := delete_old_events(connection, given.days):
                    total += deleted
                    connection.commit()
                print(f"Deleted {total} events")
                return 0
            if given.apply:
                found = replace_records(connection)
                connection.commit()
                print(REPORT.format(found, verb="Corrected"))
                return 0
            found = compare_records(connection)
    except DatabaseUnavailable as error:
        raise SystemExit(f"Nothing was changed: {error}") from None
    finally:
        engine.dispose()
    print(REPORT.format(found, verb="Found"))
    return 1 if any(vars(found).values()) else 0


def _age(text: str) -> timedelta:
    try:
        days = float(text)
    except ValueError:
        days = -1
    if not 0 <= days <= MOST_DAYS:  # below 0, every event would be old enough
        raise argparse.ArgumentTypeError(f"write a number from 0 to {MOST_DAYS}")
    return timedelta(days=days)


if __name__ == "__main__":
    raise SystemExit(main())
