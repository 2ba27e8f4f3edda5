"""The event log, written by PostgreSQL in the transaction of each change

Revision: 0006, after 0005
"""

import sqlalchemy as sa
from alembic import op

revision = "0006"
down_revision = "0005"
branch_labels = None
depends_on = None

# A sequence number is the id of the event's transaction, times 2^20, and a number
# within the transaction. So everything below the oldest running transaction is settled,
# and a reader that goes upwards skips nothing. See docs/EVENTS.md.
#
# A dump that another server loads has numbers from higher transaction ids than that
# server's. The value of event_log_base is then added to its numbers.
NUMBERS = """
CREATE SEQUENCE event_log_base MINVALUE 0 START 0;

-- The first number that is not settled yet.
CREATE FUNCTION settled_events() RETURNS bigint LANGUAGE plpgsql STABLE AS $$
DECLARE
    base bigint := last_value FROM event_log_base;
    newest bigint := max(sequence) FROM record_events;
    snapshot pg_snapshot := pg_current_snapshot();
BEGIN
    IF newest >= base + (pg_snapshot_xmax(snapshot)::text::bigint << 20) THEN
        RETURN newest + 1;  -- loaded from a dump, and nothing has happened since
    END IF;
    RETURN base + (pg_snapshot_xmin(snapshot)::text::bigint << 20);
END $$;

-- The first of `needed` numbers for events of this transaction.
CREATE FUNCTION next_event_sequence(needed bigint DEFAULT 1) RETURNS bigint
LANGUAGE plpgsql AS $$
DECLARE
    id bigint := pg_current_xact_id()::text::bigint;
    base bigint := last_value FROM event_log_base;
    newest bigint := max(sequence) FROM record_events;
    own bigint;
BEGIN
    IF newest >= base + (greatest(
        pg_snapshot_xmax(pg_current_snapshot())::text::bigint, id + 1
    ) << 20) THEN
        base := raise_event_log_base();
    END IF;
    own := base + (id << 20);
    IF newest >= own + (1 << 20) THEN  -- of a younger transaction
        newest := max(sequence) FROM record_events
            WHERE sequence >= own AND sequence < own + (1 << 20);
    END IF;
    own := greatest(own, newest + 1);
    IF (own + needed - 1) >> 20 > own >> 20 THEN
        RAISE program_limit_exceeded
            USING MESSAGE = 'one transaction cannot have more than 1048576 events';
    END IF;
    RETURN own;
END $$;
"""
BASE = """
CREATE FUNCTION raise_event_log_base() RETURNS bigint
LANGUAGE plpgsql SECURITY DEFINER SET search_path FROM CURRENT AS $$
DECLARE
    base bigint;
    newest bigint;
BEGIN
    PERFORM pg_advisory_xact_lock(7305021002);
    base := last_value FROM event_log_base;
    newest := max(sequence) FROM record_events;
    IF newest >= base + (pg_snapshot_xmax(pg_current_snapshot())::text::bigint << 20)
    THEN
        base := setval('event_log_base', ((newest >> 20) + 1) << 20);
    END IF;
    RETURN base;
END $$;
"""

# Whatever changes the table of records, by whatever program: there is no change without
# its event, and no event without its change.
RECORDS = """
CREATE FUNCTION log_new_records() RETURNS trigger LANGUAGE plpgsql AS $$
DECLARE
    many bigint := count(*) FROM new_rows;
    next bigint := next_event_sequence(many);
BEGIN
    INSERT INTO record_events
        (sequence, type, subject, owner, actor, correlation_id, traceparent, data)
    SELECT next - 1 + row_number() OVER (), type_of_record_event(task_status), task_id,
        owner, owner, correlation_id, traceparent, to_json(new_rows)
    FROM new_rows;
    RETURN NULL;
END $$;

CREATE FUNCTION log_changed_records() RETURNS trigger LANGUAGE plpgsql AS $$
DECLARE
    changed text[] := array_agg(task_id) FROM new_rows JOIN old_rows USING (id, task_id)
        WHERE new_rows.task_status <> old_rows.task_status;
BEGIN
    INSERT INTO record_events
        (type, subject, owner, actor, correlation_id, traceparent, data)
    SELECT type_of_record_event(task_status), task_id, owner, owner, correlation_id,
        traceparent, to_json(new_rows)
    FROM new_rows WHERE task_id = ANY (changed);
    PERFORM check_order_of_events(changed);
    RETURN NULL;
END $$;

-- Payload and outcome leave the log with their record. What happened stays.
CREATE FUNCTION log_deleted_records() RETURNS trigger
LANGUAGE plpgsql SECURITY DEFINER SET search_path FROM CURRENT AS $$
BEGIN
    PERFORM set_config('events.maintenance', 'on', true);
    UPDATE record_events
    SET data = (
        SELECT json_object_agg(
            key,
            CASE WHEN key IN ('payload', 'outcome') THEN 'null'::json ELSE value END
        )
        FROM json_each(data)
    )
    FROM old_rows
    WHERE subject = task_id AND type LIKE 'record.%';
    PERFORM set_config('events.maintenance', '', true);
    INSERT INTO record_events (type, subject, owner, actor, correlation_id, data)
    SELECT 'record.deleted', task_id, owner,
        nullif(current_setting('events.actor', true), ''),
        coalesce(
            nullif(current_setting('events.correlation_id', true), ''), correlation_id
        ),
        json_build_object('id', id, 'task_id', task_id, 'queue_name', queue_name)
    FROM old_rows;
    PERFORM check_order_of_events(array_agg(task_id)) FROM old_rows;
    RETURN NULL;
END $$;

CREATE FUNCTION type_of_record_event(task_status text) RETURNS text
LANGUAGE sql IMMUTABLE AS $$
    SELECT CASE task_status
        WHEN 'Processing' THEN 'record.accepted'
        WHEN 'Success' THEN 'record.succeeded'
        ELSE 'record.failed'
    END
$$;

-- Of two transactions that change a record at once, the second may have the lower id.
CREATE FUNCTION check_order_of_events(subjects text[]) RETURNS void
LANGUAGE plpgsql AS $$
DECLARE
    next bigint := next_event_sequence();
BEGIN
    IF EXISTS (
        SELECT FROM record_events WHERE subject = ANY (subjects) AND sequence > next
    ) THEN
        RAISE serialization_failure
            USING MESSAGE = 'a younger transaction has changed the record';
    END IF;
END $$;

CREATE TRIGGER log_new AFTER INSERT ON data_processing_records
    REFERENCING NEW TABLE AS new_rows
    FOR EACH STATEMENT EXECUTE FUNCTION log_new_records();
CREATE TRIGGER log_changed AFTER UPDATE ON data_processing_records
    REFERENCING OLD TABLE AS old_rows NEW TABLE AS new_rows
    FOR EACH STATEMENT EXECUTE FUNCTION log_changed_records();
CREATE TRIGGER log_deleted AFTER DELETE ON data_processing_records
    REFERENCING OLD TABLE AS old_rows
    FOR EACH STATEMENT EXECUTE FUNCTION log_deleted_records();
"""

APPEND_ONLY = """
CREATE FUNCTION refuse_change_of_event() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    IF current_setting('events.maintenance', true) = 'on' THEN
        RETURN CASE TG_OP WHEN 'DELETE' THEN OLD ELSE NEW END;
    END IF;
    RAISE insufficient_privilege USING
        MESSAGE = 'the event log is append-only',
        HINT = 'Deleting a record redacts its events; docs/EVENTS.md says more.';
END $$;

CREATE TRIGGER append_only BEFORE UPDATE OR DELETE ON record_events
    FOR EACH ROW EXECUTE FUNCTION refuse_change_of_event();
CREATE TRIGGER append_only_whole BEFORE TRUNCATE ON record_events
    FOR EACH STATEMENT EXECUTE FUNCTION refuse_change_of_event();
"""

FUNCTIONS = (
    "refuse_change_of_event()",
    "log_new_records()",
    "log_changed_records()",
    "log_deleted_records()",
    "check_order_of_events(text[])",
    "type_of_record_event(text)",
    "next_event_sequence(bigint)",
    "settled_events()",
    "raise_event_log_base()",
)


def upgrade() -> None:
    op.add_column(
        "data_processing_records", sa.Column("correlation_id", sa.String(128))
    )
    op.create_table(
        "record_events",
        sa.Column("sequence", sa.BigInteger, primary_key=True, autoincrement=False),
        sa.Column(
            "event_id",
            sa.Uuid,
            server_default=sa.text("gen_random_uuid()"),
            nullable=False,
        ),
        sa.Column("type", sa.String(64), nullable=False),
        sa.Column("subject", sa.String(64), nullable=False),
        sa.Column("owner", sa.String(255)),
        sa.Column("actor", sa.String(255)),
        sa.Column("correlation_id", sa.String(128)),
        sa.Column("traceparent", sa.String(64)),
        sa.Column(
            "time",
            sa.DateTime(timezone=True),
            server_default=sa.func.now(),
            nullable=False,
        ),
        sa.Column("data", sa.JSON, nullable=False),
    )
    op.create_index(
        "ix_record_events_subject", "record_events", ["subject", "sequence"]
    )
    op.create_index("ix_record_events_owner", "record_events", ["owner", "sequence"])
    op.create_index(
        "ix_record_events_owner_type", "record_events", ["owner", "type", "sequence"]
    )
    op.create_index("ix_record_events_type", "record_events", ["type", "sequence"])
    op.create_index(
        "ix_record_events_time", "record_events", ["time"], postgresql_using="brin"
    )
    # Without it, PostgreSQL expects soon to find a type that the owner never has, and
    # reads on by another index.
    op.execute(
        "CREATE STATISTICS record_events_owner_type (mcv) ON owner, type "
        "FROM record_events"
    )
    # What the relay has published; it has one row.
    op.create_table(
        "event_relay",
        sa.Column("id", sa.BigInteger, primary_key=True),
        sa.Column("position", sa.BigInteger, nullable=False),
    )
    op.execute("INSERT INTO event_relay (id, position) VALUES (1, -1)")
    op.execute(NUMBERS)
    op.execute(BASE)
    op.alter_column(
        "record_events", "sequence", server_default=sa.text("next_event_sequence()")
    )
    op.execute(RECORDS)
    op.execute(APPEND_ONLY)


def downgrade() -> None:
    for when in ("new", "changed", "deleted"):
        op.execute(f"DROP TRIGGER log_{when} ON data_processing_records")
    op.drop_table("event_relay")
    op.drop_table("record_events")
    for function in FUNCTIONS:
        op.execute(f"DROP FUNCTION {function}")
    op.execute("DROP SEQUENCE event_log_base")
    op.drop_column("data_processing_records", "correlation_id")
