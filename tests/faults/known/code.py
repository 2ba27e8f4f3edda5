"""Faults in Python that mutmut does not make, in what the system promises."""

from tests.faults.planted import Fault

CHASSIS = "packages/chassis/src/chassis"
CHASSIS_TESTS = "packages/chassis/tests"
APP = "backend/app"
TESTS = "backend/tests"

FAULTS = (
    Fault(
        "a full queue drops its oldest requests",
        f"{CHASSIS}/rpc/topology.py",
        '"x-overflow": "reject-publish"',
        '"x-overflow": "drop-head"',
        (f"{CHASSIS_TESTS}/unit/test_topology.py",),
    ),
    Fault(
        "a request is served after its caller has gone",
        f"{CHASSIS}/rpc/handling.py",
        "if request.is_late():\n            return Outcome(Settlement.ACK, error=Dead",
        "if False:\n            return Outcome(Settlement.ACK, error=Dead",
        (f"{CHASSIS_TESTS}/unit/test_handling.py",),
    ),
    Fault(
        "suspects run beside innocent requests",
        f"{CHASSIS}/rpc/intake.py",
        "if self._suspects and len(self._suspects) == len(self._unsettled):",
        "if self._suspects:",
        (f"{CHASSIS_TESTS}/unit/test_suspects.py",),
    ),
    Fault(
        "one acknowledgement covers requests that still run",
        f"{CHASSIS}/rpc/intake.py",
        "together = [tag for tag in tags if tag < oldest]",
        "together = tags",
        (f"{CHASSIS_TESTS}/unit/test_intake.py",),
    ),
    Fault(
        "a delivery of a lost connection is settled on the next",
        f"{CHASSIS}/rpc/intake.py",
        "                if request.intake is self:\n                    self._settle",
        "                if request.intake:\n                    self._settle",
        (f"{CHASSIS_TESTS}/unit/test_intake.py", f"{CHASSIS_TESTS}/unit/test_loop.py"),
    ),
    Fault(
        "whoever writes to Redis stops workers",
        f"{APP}/infrastructure/celery.py",
        "worker_enable_remote_control=False",
        "worker_enable_remote_control=True",
        (f"{TESTS}/unit/test_celery.py", f"{TESTS}/integration/test_celery_worker.py"),
    ),
    Fault(
        "a worker may receive a task while another runs it",
        f"{APP}/core/redis_settings.py",
        "        longest = self.task_time_limit_seconds + LONGEST_RETRY_DELAY\n",
        "        longest = self.task_time_limit_seconds\n",
        (f"{TESTS}/unit/test_task_clocks.py",),
    ),
    Fault(
        "one caller gets the answer of another",
        f"{APP}/core/idempotency.py",
        "    if caller := current_principal.get():\n        parts",
        "    if caller := None:\n        parts",
        (f"{TESTS}/unit/test_idempotency_callers.py",),
    ),
    Fault(
        "a retry with another body gets the first answer",
        f"{APP}/core/idempotency.py",
        "parts = [method.encode(), path.encode(), query, body]",
        "parts = [method.encode(), path.encode(), query]",
        (f"{TESTS}/unit/test_idempotency_keys.py", f"{TESTS}/unit/test_idempotency.py"),
    ),
    Fault(
        "memory that was given back twice",
        f"{APP}/core/budget.py",
        "        self._budget.end(self._work)\n        self._work = 0\n",
        "        self._budget.end(self._work)\n",
        (f"{TESTS}/unit/test_account.py",),
    ),
    Fault(
        "a probe for each of many at once",
        f"{APP}/core/health.py",
        "                self._expires = time.monotonic() + CACHE_SECONDS\n",
        "                self._expires = time.monotonic()\n",
        (f"{TESTS}/unit/test_health.py",),
    ),
    Fault(
        "a deadlock counts as a bug",
        f"{APP}/core/database_errors.py",
        'BUSY_STATES = ("40", "55P03")',
        'BUSY_STATES = ("55P03",)',
        (f"{TESTS}/integration/test_database_faults.py",),
    ),
    Fault(
        "a caller without its scope is served",
        f"{APP}/api/v1/endpoints/database.py",
        "dependencies=[requires(DELETE_RECORDS)]",
        "dependencies=[requires(READ_RECORDS)]",
        (f"{TESTS}/unit/test_scopes.py",),
    ),
    Fault(
        "a limit of one transaction is the next user's of a pooler",
        f"{CHASSIS}/events/inbox.py",
        "SET LOCAL statement_timeout",
        "SET statement_timeout",
        (f"{CHASSIS_TESTS}/unit/test_inbox.py",),
    ),
    Fault(
        "a second launcher kills the stack of the first",
        "local/state.py",
        '        lock = (self.path / "lock").open("a")\n',
        '        end_leftovers(self.path)\n        lock = (self.path / "lock").open("a")\n',
        ("local/tests/unit/test_process.py::test_a_folder_has_one_holder",),
    ),
)
