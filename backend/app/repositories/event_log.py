"""What the owner of the tables does with the whole event log: rebuild the records from
it, and delete old events. The statements run on one sync connection."""

from dataclasses import dataclass
from datetime import timedelta

from sqlalchemy import Connection, text

# The last event of a record holds its row. A payload `null` is JSON's null, not SQL's.
# The sweep moves `updated_at` of unfinished work: that is no event.
REBUILD = """
CREATE TEMPORARY TABLE rebuilt ON COMMIT DROP AS
SELECT row.* FROM (
    SELECT DISTINCT ON (subject) type, subject, data FROM record_events
    WHERE type LIKE 'record.%'
    ORDER BY subject, sequence DESC
) AS last
CROSS JOIN LATERAL
    json_populate_record(NULL::data_processing_records, last.data) AS row
WHERE last.type <> 'record.deleted';
UPDATE rebuilt SET payload = 'null' WHERE payload IS NULL;
UPDATE rebuilt SET updated_at = records.updated_at FROM data_processing_records records
WHERE rebuilt.task_id = records.task_id AND rebuilt.task_status = 'Processing';
"""
MISSING = """
SELECT task_id FROM rebuilt
WHERE NOT EXISTS (
    SELECT FROM data_processing_records AS found WHERE found.task_id = rebuilt.task_id
)"""
DIFFERENT = """
SELECT rebuilt.task_id FROM rebuilt
JOIN data_processing_records AS records USING (task_id)
WHERE rebuilt::text <> records::text"""
# Records without events are older than the log.
SURPLUS = """
SELECT task_id FROM data_processing_records AS records
WHERE EXISTS (
    SELECT FROM record_events
    WHERE subject = records.task_id AND type LIKE 'record.%'
)
AND NOT EXISTS (SELECT FROM rebuilt WHERE rebuilt.task_id = records.task_id)"""

DELETE_AT_ONCE = 10_000

# Those of a record that exists stay: the log can always rebuild the records.
DELETE_OLD = """
DELETE FROM record_events WHERE sequence IN (
    SELECT sequence FROM record_events
    WHERE time < now() - :age AND sequence <= (SELECT position FROM event_relay)
    AND NOT EXISTS (SELECT FROM data_processing_records WHERE task_id = subject)
    ORDER BY sequence LIMIT :most
)"""


@dataclass(frozen=True)
class Differences:
    """How many records of the table are not as the log has them."""

    missing: int
    different: int
    surplus: int


def compare_records(connection: Connection) -> Differences:
    """Rebuild the records in a temporary table, which lives as long as the transaction,
    and compare them with the stored ones, as of the same moment."""
    if not connection.in_transaction():
        connection.exec_driver_sql("SET TRANSACTION ISOLATION LEVEL REPEATABLE READ")
    for statement in REBUILD.split(";\n"):
        if statement.strip():
            connection.exec_driver_sql(statement.replace("%", "%%"))
    queries = (MISSING, DIFFERENT, SURPLUS)
    counts = (f"SELECT count(*) FROM ({each}) AS found" for each in queries)  # nosec
    return Differences(*(connection.scalar(text(each)) or 0 for each in counts))


def replace_records(connection: Connection) -> Differences:
    """Make the stored records those of the log; nobody else changes them meanwhile.
    Returns what differed. The caller commits."""
    records = "data_processing_records"
    # Without triggers: it restores what happened, and nothing new happens.
    connection.exec_driver_sql(f"ALTER TABLE {records} DISABLE TRIGGER USER")
    found = compare_records(connection)
    wrong = f"{DIFFERENT} UNION {SURPLUS}"
    delete = f"DELETE FROM {records} WHERE task_id IN ({wrong})"  # nosec
    insert = f"INSERT INTO {records} SELECT * FROM rebuilt WHERE task_id IN "  # nosec
    for statement in (delete, f"{insert} ({MISSING})"):
        connection.exec_driver_sql(statement.replace("%", "%%"))
    connection.exec_driver_sql(f"ALTER TABLE {records} ENABLE TRIGGER USER")
    return found


def delete_old_events(connection: Connection, age: timedelta) -> int:
    """Delete some published events of that age whose record is gone; returns how many.
    The caller commits."""
    connection.exec_driver_sql("SET LOCAL events.maintenance = 'on'")
    given = {"age": age, "most": DELETE_AT_ONCE}
    return connection.execute(text(DELETE_OLD), given).rowcount
