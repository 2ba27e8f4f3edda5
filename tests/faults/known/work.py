"""Faults in accepted work: order of store and publish, Celery, stopping, waiting."""

from tests.faults.planted import Fault

FAULTS = (
    Fault(
        "accept: publish before store",
        "backend/app/services/data_service.py",
        "        with suppress(AlreadyStored):\n            await self._commits.add([record])\n        await self._publish(task_id, content, request.priority)\n",
        "        await self._publish(task_id, content, request.priority)\n        with suppress(AlreadyStored):\n            await self._commits.add([record])\n",
        (
            "backend/tests/unit/test_accept.py::test_nothing_is_published_or_answered_before_the_commit",
        ),
    ),
    Fault(
        "accept: at the same time",
        "backend/app/services/data_service.py",
        "        with suppress(AlreadyStored):\n            await self._commits.add([record])\n        await self._publish(task_id, content, request.priority)\n",
        "        import asyncio\n        await asyncio.gather(self._publish(task_id, content, request.priority), self._commits.add([record]))\n",
        (
            "backend/tests/unit/test_accept.py::test_nothing_is_published_or_answered_before_the_commit",
        ),
    ),
    Fault(
        "accept: answer does not wait for the commit",
        "backend/app/services/data_service.py",
        "            await self._commits.add([record])\n        await self._publish",
        "            import asyncio; asyncio.ensure_future(self._commits.add([record]))\n        await self._publish",
        (
            "backend/tests/unit/test_accept.py::test_nothing_is_published_or_answered_before_the_commit",
        ),
    ),
    Fault(
        "celery: acks early",
        "backend/app/infrastructure/celery.py",
        "task_acks_late=True",
        "task_acks_late=False",
        (
            "backend/tests/unit/test_celery.py::test_a_task_is_acknowledged_when_it_has_ended",
        ),
    ),
    Fault(
        "celery: no retry on worker lost",
        "backend/app/infrastructure/celery.py",
        "task_retry_on_worker_lost=True",
        "task_retry_on_worker_lost=False",
        (
            "backend/tests/unit/test_celery.py::test_a_task_is_acknowledged_when_it_has_ended",
        ),
    ),
    Fault(
        "celery: round robin queues",
        "backend/app/infrastructure/celery.py",
        '"queue_order_strategy": "priority"',
        '"queue_order_strategy": "round_robin"',
        (
            "backend/tests/unit/test_celery.py::test_a_free_worker_asks_the_queues_in_order_of_priority",
        ),
    ),
    Fault(
        "celery: worker's own sends repr arguments",
        "backend/app/infrastructure/celery_publishing.py",
        "**{**options, **HIDDEN}",
        "**options",
        ("backend/tests/integration/test_data_service.py::test_accepted_work",),
    ),
    Fault(
        "celery: queues in another order",
        "backend/app/infrastructure/celery.py",
        'QUEUES = ("high", "default", "low")',
        'QUEUES = ("low", "default", "high")',
        (
            "backend/tests/unit/test_celery.py::test_a_free_worker_asks_the_queues_in_order_of_priority",
        ),
    ),
    Fault(
        "celery: pickle accepted",
        "backend/app/infrastructure/celery.py",
        'accept_content=["json"]',
        'accept_content=["json", "pickle"]',
        ("backend/tests/unit/test_celery.py::test_tasks_are_json",),
    ),
    Fault(
        "celery: visibility not passed on",
        "backend/app/infrastructure/celery.py",
        '            "visibility_timeout": settings.visibility_timeout_seconds,\n',
        "",
        (
            "backend/tests/unit/test_celery.py::test_no_retry_waits_longer_than_the_visibility_timeout_allows",
        ),
    ),
    Fault(
        "celery: clocks unordered",
        "backend/app/core/redis_settings.py",
        "if self.visibility_timeout_seconds <= longest:",
        "if self.visibility_timeout_seconds < self.task_time_limit_seconds:",
        ("backend/tests/unit/test_task_clocks.py",),
    ),
    Fault(
        "celery: longer retries",
        "backend/app/infrastructure/celery_retries.py",
        "retry_backoff_max = LONGEST_RETRY_DELAY",
        "retry_backoff_max = 600",
        (
            "backend/tests/unit/test_celery.py::test_no_retry_waits_longer_than_the_visibility_timeout_allows",
        ),
    ),
    Fault(
        "celery: no backoff of retries",
        "backend/app/infrastructure/celery_retries.py",
        "    retry_backoff = True\n",
        "    retry_backoff = False\n",
        (
            "backend/tests/unit/test_celery.py::test_no_retry_waits_longer_than_the_visibility_timeout_allows",
        ),
    ),
    Fault(
        "celery: priority steps",
        "backend/app/infrastructure/celery.py",
        '            "priority_steps": [0],  # a queue is one list: sweep and metrics look there\n',
        "",
        (
            "backend/tests/unit/test_celery.py::test_a_free_worker_asks_the_queues_in_order_of_priority",
        ),
    ),
    Fault(
        "celery: worker dies on channel errors",
        "backend/app/infrastructure/celery.py",
        "broker_channel_error_retry=True",
        "broker_channel_error_retry=False",
        (
            "backend/tests/unit/test_celery.py::test_redis_that_hangs_or_refuses_ends_no_worker",
        ),
    ),
    Fault(
        "celery: worker without connect timeout",
        "backend/app/infrastructure/celery.py",
        '            "socket_connect_timeout": SOCKET_TIMEOUT,\n            "health',
        '            "health',
        (
            "backend/tests/unit/test_celery.py::test_redis_that_hangs_or_refuses_ends_no_worker",
        ),
    ),
    Fault(
        "celery: publisher without timeouts",
        "backend/app/infrastructure/celery.py",
        '            "socket_timeout": SOCKET_TIMEOUT,\n            "socket_connect_timeout": SOCKET_TIMEOUT,\n            # Retry',
        "            # Retry",
        (
            "backend/tests/unit/test_celery.py::test_redis_that_hangs_or_refuses_ends_no_worker",
        ),
    ),
    Fault(
        "drain: ready stays true",
        "backend/app/api/root.py",
        "is_able = report.is_able and not resources.health.is_draining",
        "is_able = report.is_able",
        ("backend/tests/unit/test_api.py::test_not_ready_while_stopping",),
    ),
    Fault(
        "drain: flag is never set",
        "backend/app/application.py",
        "    resources.health.is_draining = True\n",
        "",
        ("backend/tests/unit/test_api.py::test_not_ready_while_stopping",),
    ),
    Fault(
        "drain: uvicorn's handler not called",
        "backend/app/application.py",
        "    previous(number, frame)\n",
        "",
        ("backend/tests/unit/test_api.py::test_not_ready_while_stopping",),
    ),
    Fault(
        "drain: only SIGTERM",
        "backend/app/application.py",
        "(signal.SIGTERM, signal.SIGINT)",
        "(signal.SIGTERM,)",
        ("backend/tests/unit/test_api.py::test_not_ready_while_stopping",),
    ),
    Fault(
        "drain: streams go on",
        "backend/app/application.py",
        "    loop.call_soon_threadsafe(resources.events.feed.stop)\n",
        "",
        ("backend/tests/unit/test_api.py::test_not_ready_while_stopping",),
    ),
    Fault(
        "watcher: ends at a database error",
        "backend/app/services/task_watcher.py",
        "                    continue  # the callers",
        "                    return  # the callers",
        ("backend/tests/unit/test_task_watcher.py",),
    ),
    Fault(
        "watcher: only the first of several",
        "backend/app/services/task_watcher.py",
        "                        event.set()",
        "                        event.set()\n                        break",
        ("backend/tests/unit/test_task_watcher.py",),
    ),
    Fault(
        "watcher: starts once only",
        "backend/app/services/task_watcher.py",
        "            self._watcher = None\n",
        "            pass\n",
        ("backend/tests/unit/test_task_watcher.py",),
    ),
    Fault(
        "watcher: a question per waiter",
        "backend/app/services/task_watcher.py",
        "                    ended = await self._find_ended(list(self._awaited))",
        "                    ended = [i for a in list(self._awaited) for i in await self._find_ended([a])]",
        ("backend/tests/unit/test_task_watcher.py",),
    ),
    Fault(
        "keys: lost reply makes own claim foreign",
        "backend/app/infrastructure/redis/key_store.py",
        "  if claim == ARGV[1] then return false end\n",
        "",
        ("backend/tests/integration/test_key_store.py",),
    ),
    Fault(
        "keys: a retry of complete fails",
        "backend/app/infrastructure/redis/key_store.py",
        "if entry == ARGV[2] then return 1 end\n",
        "",
        ("backend/tests/integration/test_key_store.py",),
    ),
    Fault(
        "keys: anybody releases",
        "backend/app/infrastructure/redis/key_store.py",
        'string.match(entry, "^claim %d+ (.*)$") ~= ARGV[1] then return 0',
        'string.match(entry, "^claim %d+ (.*)$") == nil then return 0',
        ("backend/tests/integration/test_key_store.py",),
    ),
    Fault(
        "index: no predicate in the model",
        "backend/app/models/database.py",
        "            postgresql_where=text(\"task_status = 'Processing'\"),\n",
        "",
        ("backend/tests/integration/test_migrations.py",),
    ),
    Fault(
        "index: another predicate in the migration",
        "backend/alembic/versions/20261129_webhooks.py",
        "sa.text(\"status = 'pending'\")",
        "sa.text(\"status = 'failed'\")",
        ("backend/tests/integration/test_migrations.py",),
    ),
    Fault(
        "index: btree for brin",
        "backend/app/models/database.py",
        ', postgresql_using="brin"',
        "",
        ("backend/tests/integration/test_migrations.py",),
    ),
    Fault(
        "accept: a lost Redis fails the request",
        "backend/app/services/data_service.py",
        '        except BrokerUnavailable as error:\n            logger.info("Task',
        '        except ConnectionError as error:\n            logger.info("Task',
        (
            "backend/tests/unit/test_accept.py::test_work_is_accepted_while_no_broker_takes_its_task",
        ),
    ),
)
