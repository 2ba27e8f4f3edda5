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
            "backend/tests/integration/test_webhooks.py::test_an_event_that_is_sent_again_has_all_its_time",
        ),
    ),
    Fault(
        "webhooks: a run releases another's claim",
        "backend/app/repositories/webhook_repository.py",
        ".where(col(Webhook.id) == webhook_id, col(Webhook.leased_by) == run)\n        .values",
        ".where(col(Webhook.id) == webhook_id)\n        .values",
        (
            "backend/tests/integration/test_webhooks.py::test_what_another_run_has_done_stays",
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
)
