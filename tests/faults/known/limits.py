"""Faults in events, webhooks, identity and shared work, at their limits."""

from tests.faults.planted import Fault

FAULTS = (
    Fault(
        "relay: limit of an event counts characters",
        "backend/app/services/relay_service.py",
        "            body = event.to_json(self._source).encode()\n            if len(body)",
        "            body = event.to_json(self._source).encode()\n            if len(event.to_json(self._source))",
        (
            "backend/tests/unit/test_relay_service.py::test_the_limit_of_an_event_is_in_bytes",
        ),
    ),
    Fault(
        "feed: an event without previous counts as the next",
        "backend/app/services/event_feed.py",
        "if event.previous is None or event.previous > self.position:",
        "if event.previous is not None and event.previous > self.position:",
        (
            "backend/tests/unit/test_event_feed.py::test_an_event_that_names_no_earlier_one_proves_nothing",
        ),
    ),
    Fault(
        "stream: a waiting one outlives its time",
        "backend/app/services/event_stream.py",
        "until = min(loop.time() + seconds, self._deadline)",
        "until = loop.time() + seconds",
        (
            "backend/tests/unit/test_event_feed.py::test_a_stream_that_waits_ends_in_time",
        ),
    ),
    Fault(
        "events: Link forgets the filters",
        "backend/app/api/v1/endpoints/events.py",
        "url = request.url.include_query_params(after=events[-1].sequence)",
        'url = request.url.replace(query=f"after={events[-1].sequence}&limit={limit}")',
        (
            "backend/tests/unit/test_event_service.py::test_the_next_page_has_the_same_filters",
        ),
    ),
    Fault(
        "webhooks: a redelivery has no time of its own",
        "backend/app/repositories/delivery_repository.py",
        '    "first_attempt_at": None,\n',
        "",
        (
            "backend/tests/integration/webhooks/test_receiving.py::test_an_event_that_is_sent_again_has_all_its_time",
        ),
    ),
    Fault(
        "webhooks: a run releases another's claim",
        "backend/app/repositories/webhook_repository.py",
        ".where(col(Webhook.id) == webhook_id, col(Webhook.leased_by) == run)\n        .values",
        ".where(col(Webhook.id) == webhook_id)\n        .values",
        (
            "backend/tests/integration/webhooks/test_runs.py::test_what_another_run_has_done_stays",
        ),
    ),
    Fault(
        "identity: a caller that leaves ends the fetch",
        "backend/app/infrastructure/identity/provider.py",
        "await asyncio.shield(attempt)",
        "await attempt",
        (
            "backend/tests/integration/test_identity.py::test_a_caller_that_leaves_takes_no_keys_from_others",
        ),
    ),
    Fault(
        "budget: work of one that left is never freed",
        "backend/app/core/budget.py",
        "            if not turn.cancelled():  # its turn came at the last moment\n                self.work -= cost\n",
        "",
        (
            "backend/tests/unit/test_budget.py::test_a_turn_that_came_too_late_is_given_back",
        ),
    ),
    Fault(
        "group commit: repeats what may be stored",
        "backend/app/infrastructure/postgres/group_commit.py",
        "                    if not _stored_nothing(error):\n                        raise\n",
        "                    continue\n",
        (
            "backend/tests/unit/test_group_commit.py::test_what_may_be_stored_is_not_stored_again",
        ),
    ),
    Fault(
        "beat: lease counts from the answer",
        "backend/app/infrastructure/redis/beat_lease.py",
        "self._until = begun + self._seconds",
        "self._until = time.monotonic() + self._seconds",
        (
            "backend/tests/unit/test_beat_lease.py::test_a_lease_counts_from_the_question",
        ),
    ),
    Fault(
        "webhooks: a run goes on when another has its claim",
        "backend/app/repositories/delivery_repository.py",
        "            col(Webhook.leased_by) == run,\n",
        "",
        (
            "backend/tests/integration/webhooks/test_runs.py::test_a_run_ends_with_its_claim",
        ),
    ),
    Fault(
        "webhooks: a delivery is not locked",
        "backend/app/repositories/delivery_repository.py",
        '            col(WebhookDelivery.status) == "pending",\n        )\n        .with_for_update()',
        '            col(WebhookDelivery.status) == "pending",\n        )',
        (
            "backend/tests/integration/webhooks/test_runs.py::test_an_attempt_is_noted_by_one_process_at_a_time",
        ),
    ),
    Fault(
        "sweep: waits for records of another",
        "backend/app/repositories/data_repository.py",
        ".with_for_update(skip_locked=True)",
        ".with_for_update()",
        (
            "backend/tests/integration/test_portions.py::test_the_sweep_waits_for_no_record_and_takes_only_a_stale_one",
        ),
    ),
    Fault(
        "events: a subject ends before its last event is settled",
        "backend/app/repositories/event_repository.py",
        "        col(RecordEvent.type).in_(final),\n        col(RecordEvent.sequence) < settled,\n",
        "        col(RecordEvent.type).in_(final),\n",
        (
            "backend/tests/integration/test_event_log.py::test_a_subject_ends_when_its_last_event_is_settled",
        ),
    ),
    Fault(
        "events: the cause of a change is the next caller's",
        "backend/app/repositories/event_repository.py",
        "func.set_config(*each, True)",
        "func.set_config(*each, False)",
        (
            "backend/tests/integration/test_event_log.py::test_a_cause_ends_with_its_transaction",
        ),
    ),
    Fault(
        "service: ready after the loss of its connection",
        "packages/chassis/src/chassis/rpc/loop.py",
        "            except Exception as error:\n                self._on_connected(False)\n",
        "            except Exception as error:\n",
        (
            "packages/chassis/tests/unit/test_loop.py::test_it_counts_as_connected_while_it_consumes",
        ),
    ),
    Fault(
        "resources: the database closes before its users",
        "backend/app/resources.py",
        "        closing.push_async_callback(database.close)\n"
        "        commits = GroupCommit(database.engine)\n"
        "        closing.push_async_callback(commits.close)\n",
        "        commits = GroupCommit(database.engine)\n"
        "        closing.push_async_callback(commits.close)\n"
        "        closing.push_async_callback(database.close)\n",
        (
            "backend/tests/unit/test_resources.py::test_everything_that_was_opened_is_closed",
        ),
    ),
    Fault(
        "stream: a sign of life is an event",
        "backend/app/api/event_streams.py",
        "        return KEEPALIVE_COMMENT",
        '        return b"data:\\n\\n"',
        ("backend/tests/unit/test_event_streams.py::test_a_sign_of_life_is_no_event",),
    ),
    Fault(
        "log: a stream has two lines",
        "backend/app/api/middleware/access_log.py",
        "        finally:\n            if not is_logged:\n",
        "        finally:\n            if True:\n",
        (
            "backend/tests/unit/test_access_log.py::test_a_stream_logs_one_line_when_it_begins",
        ),
    ),
    Fault(
        "stream: a backlog outlives its time",
        "backend/app/services/event_stream.py",
        "            if loop.time() >= self._deadline:\n                self.close(time_limit())\n            elif event := self._pop():",
        "            if event := self._pop():",
        (
            "backend/tests/unit/test_feed_restart.py::test_a_backlog_does_not_lengthen_the_life_of_a_stream",
        ),
    ),
    Fault(
        "feed: begins where it rested",
        "backend/app/services/event_feed.py",
        "            self.position = await self._log.end()\n",
        "            if self.position < 0:\n                self.position = await self._log.end()\n",
        (
            "backend/tests/unit/test_feed_restart.py::test_what_happened_while_the_feed_rested_is_no_news",
        ),
    ),
    Fault(
        "rate limits: a client that left keeps its place",
        "backend/app/core/rate_limits.py",
        "            finally:\n                quota.waiting -= 1",
        "            except ZeroDivisionError:\n                raise\n            quota.waiting -= 1",
        (
            "backend/tests/unit/test_rate_keys.py::test_nothing_is_reserved_for_a_request_whose_client_has_left",
        ),
    ),
    Fault(
        "webhooks: an old secret signs for ever",
        "backend/app/services/webhook_rules.py",
        "if webhook.previous_secret and until and now < until:",
        "if webhook.previous_secret and until:",
        (
            "backend/tests/unit/test_webhook_rules.py::test_an_old_secret_signs_until_its_time",
        ),
    ),
    Fault(
        "webhooks: a series for each host",
        "backend/app/tasks/webhooks.py",
        '_attempts.add(1, {"app.webhooks.outcome": outcome})',
        '_attempts.add(1, {"app.webhooks.outcome": outcome, "server.address": webhook.host})',
        (
            "backend/tests/unit/test_webhook_notes.py::test_attempts_and_webhooks_are_counted_once_and_no_url_is_told",
        ),
    ),
    Fault(
        "events: what was deleted stays in the first events",
        "backend/alembic/versions/20261128_event_log.py",
        "WHERE subject = task_id AND type LIKE 'record.%';\n    PERFORM",
        "WHERE subject = task_id AND type = 'record.succeeded';\n    PERFORM",
        (
            "backend/tests/integration/test_event_log.py::test_a_deletion_redacts_the_events_of_its_record_alone",
        ),
    ),
)
