"""Faults that show when a server is away, full, slow or in the hands of others."""

from tests.faults.planted import Fault

FAULTS = (
    Fault(
        "webhooks: a date of a receiver stops the run",
        "backend/app/infrastructure/webhook_sender.py",
        "except (ValueError, OverflowError):",
        "except ValueError:",
        (
            "backend/tests/integration/test_webhook_sender.py::test_it_reads_when_to_try_again",
        ),
    ),
    Fault(
        "webhooks: a claim ends during a long attempt",
        "backend/app/tasks/webhooks.py",
        "lease = RUN_SECONDS + webhooks.timeout_seconds + MARGIN",
        "lease = RUN_SECONDS + MARGIN",
        (
            "backend/tests/unit/test_webhook_claims.py::test_a_claim_outlasts_the_last_attempt",
        ),
    ),
    Fault(
        "webhooks: an owner's event that commits late is skipped",
        "backend/app/repositories/delivery_repository.py",
        "pair < tuple_(own, settled)",
        "owner == own",
        (
            "backend/tests/integration/test_event_log.py::test_nobody_skips_what_commits_late",
        ),
    ),
    Fault(
        "identity: a private key in the list verifies nothing",
        "backend/app/infrastructure/identity/provider.py",
        '{name: value for name, value in key.items() if name != "d"}',
        "dict(key)",
        (
            "backend/tests/integration/test_identity.py::test_a_key_is_good_for_its_own_algorithm",
        ),
    ),
    Fault(
        "migrations: limited as requests are",
        "backend/alembic/env.py",
        "create_sync_engine(owner, statement_seconds=0, pool_size=2)",
        "create_sync_engine(owner, pool_size=2)",
        (
            "backend/tests/integration/test_migrations.py::test_a_migration_waits_for_another",
        ),
    ),
    Fault(
        "events: nobody may raise the base after a restore",
        "backend/alembic/versions/20261128_event_log.py",
        "CREATE FUNCTION raise_event_log_base() RETURNS bigint\nLANGUAGE plpgsql SECURITY DEFINER SET",
        "CREATE FUNCTION raise_event_log_base() RETURNS bigint\nLANGUAGE plpgsql SET",
        (
            "backend/tests/integration/test_rights.py::test_processes_go_on_with_a_log_from_another_server",
        ),
    ),
    Fault(
        "worker: a child keeps its parent's Unix sockets",
        "backend/app/infrastructure/forks.py",
        "found.family != socket.AF_UNIX or bool(found.getpeername())",
        "found.family != socket.AF_UNIX",
        (
            "backend/tests/unit/test_forks.py::test_connections_end_and_what_wakes_the_loop_stays",
        ),
    ),
    Fault(
        "keys: a full Redis is waited for",
        "backend/app/infrastructure/redis/key_store.py",
        "if is_full or self._outage.seconds >= patience:",
        "if self._outage.seconds >= patience:",
        (
            "backend/tests/unit/test_key_store.py::test_only_a_request_waits_and_only_for_another_primary",
        ),
    ),
    Fault(
        "beat: redis-py's pauses outlive the lease",
        "backend/app/infrastructure/redis/beat_lease.py",
        "        self._redis.set_retry(Retry(NoBackoff(), 1))\n",
        "",
        ("backend/tests/unit/test_beat_lease.py::test_no_pause_outlives_the_lease",),
    ),
    Fault(
        "database: a ping leaves its transaction to the next user",
        "backend/app/core/database_connections.py",
        "            connection.rollback()\n",
        "",
        (
            "backend/tests/unit/test_database_connections.py::test_a_connection_is_asked_after_an_idle_time",
        ),
    ),
    Fault(
        "relay: a loss during a pause ends it",
        "backend/app/services/relay_service.py",
        "except NotPublished as error:  # the next attempt connects again",
        "except OSError as error:",
        (
            "backend/tests/unit/test_relay_service.py::test_a_loss_during_a_pause_is_waited_for",
        ),
    ),
)
