"""Faults in calls of services: what a connection must not carry over to the next."""

from tests.faults.planted import Fault

FAULTS = (
    Fault(
        "rpc: tags not reset after reconnection",
        "packages/chassis/src/chassis/rpc/client.py",
        "        self._sent = 0\n        for call",
        "        for call",
        (
            "packages/chassis/tests/unit/test_client.py::test_confirms_count_anew_on_each_connection",
        ),
    ),
    Fault(
        "rpc: multiple confirm ignored",
        "packages/chassis/src/chassis/rpc/client.py",
        "        if multiple:  #",
        "        if multiple and False:  #",
        (
            "packages/chassis/tests/unit/test_client.py::test_a_confirm_may_be_for_several_calls",
        ),
    ),
    Fault(
        "rpc: multiple off by one",
        "packages/chassis/src/chassis/rpc/client.py",
        "known <= tag",
        "known < tag",
        (
            "packages/chassis/tests/unit/test_client.py::test_a_confirm_may_be_for_several_calls",
        ),
    ),
    Fault(
        "rpc: nack taken as ack",
        "packages/chassis/src/chassis/rpc/client.py",
        "if call is not None and not accepted:",
        "if call is not None and not accepted and not multiple:",
        (
            "packages/chassis/tests/unit/test_client.py::test_a_confirm_may_be_for_several_calls",
        ),
    ),
    Fault(
        "rpc: forgotten calls are sent",
        "packages/chassis/src/chassis/rpc/client.py",
        "if call.id not in self._pending or left <= 0:",
        "if left <= 0:",
        (
            "packages/chassis/tests/unit/test_client.py::test_a_call_that_its_caller_gave_up_is_not_sent",
        ),
    ),
    Fault(
        "rpc: forget does nothing",
        "packages/chassis/src/chassis/rpc/client.py",
        "        self._pending.pop(call.id, None)\n\n    def close",
        "        pass\n\n    def close",
        (
            "packages/chassis/tests/unit/test_client.py::test_a_call_that_its_caller_gave_up_is_not_sent",
        ),
    ),
    Fault(
        "rpc: blocked broker: new calls are sent",
        "packages/chassis/src/chassis/rpc/client.py",
        '            if connection.blocked is not None:\n                self._fail(call, BrokerUnavailable(self.refusal or ""))\n                continue\n',
        "",
        (
            "packages/chassis/tests/unit/test_client.py::test_a_broker_that_accepts_no_messages",
        ),
    ),
    Fault(
        "rpc: blocked broker: sent calls wait",
        "packages/chassis/src/chassis/rpc/client.py",
        "if connection.blocked is not None and self._unconfirmed:",
        "if False:",
        (
            "packages/chassis/tests/unit/test_client.py::test_a_broker_that_accepts_no_messages",
        ),
    ),
    Fault(
        "rpc: not mandatory",
        "packages/chassis/src/chassis/rpc/client.py",
        "mandatory=True",
        "mandatory=False",
        (
            "packages/chassis/tests/unit/test_client.py::test_a_queue_that_does_not_exist",
        ),
    ),
    Fault(
        "rpc: no expiration",
        "packages/chassis/src/chassis/rpc/client.py",
        "                expiration=str(milliseconds),\n",
        "",
        (
            "packages/chassis/tests/unit/test_client.py::test_a_queue_that_does_not_exist",
        ),
    ),
    Fault(
        "rpc: no confirm_select",
        "packages/chassis/src/chassis/rpc/client.py",
        "            channel.confirm_select()\n",
        "",
        (
            "packages/chassis/tests/unit/test_client.py::test_confirms_count_anew_on_each_connection",
        ),
    ),
    Fault(
        "rpc: backoff never resets",
        "packages/chassis/src/chassis/rpc/attempts.py",
        "            self._backoff.reset()",
        "            pass",
        (
            "packages/chassis/tests/unit/test_attempts.py::test_a_loss_after_a_stable_connection_starts_with_short_pauses",
        ),
    ),
    Fault(
        "rpc: backoff always resets",
        "packages/chassis/src/chassis/rpc/attempts.py",
        "if began is not None and time.monotonic() - began > STABLE_SECONDS:",
        "if began is not None:",
        (
            "packages/chassis/tests/unit/test_attempts.py::test_a_loss_after_a_stable_connection_starts_with_short_pauses",
        ),
    ),
    Fault(
        "rpc: backoff has no jitter",
        "packages/chassis/src/chassis/rpc/backoff.py",
        "return delay * random.uniform(0.5, 1.0)  # nosec: jitter",
        "return delay",
        (
            "packages/chassis/tests/unit/test_client.py",
            "packages/chassis/tests/unit/test_attempts.py",
        ),
    ),
    Fault(
        "rpc: backoff grows without bound",
        "packages/chassis/src/chassis/rpc/backoff.py",
        "min(self._next * 2, self.longest)",
        "self._next * 2",
        (
            "packages/chassis/tests/unit/test_attempts.py::test_pauses_double_with_jitter_up_to_the_longest",
        ),
    ),
    Fault(
        "rpc: a reply queue for all connections",
        "packages/chassis/src/chassis/rpc/client.py",
        '        self._reply_to = f"rpc.reply.{uuid4()}"\n',
        '        self._reply_to = self._reply_to or f"rpc.reply.{uuid4()}"\n',
        (
            "packages/chassis/tests/unit/test_client.py::test_each_connection_has_a_reply_queue_of_its_own",
        ),
    ),
    Fault(
        "rpc: calls are sent before the thread can be woken",
        "packages/chassis/src/chassis/rpc/client.py",
        "            self._poller.arm()\n            if self._outbox:\n                with connection.one_write():\n                    self._send_all(connection)\n",
        "            if self._outbox:\n                with connection.one_write():\n                    self._send_all(connection)\n            self._poller.arm()\n",
        (
            "packages/chassis/tests/unit/test_client.py::test_a_call_never_waits_for_the_next_tick",
        ),
    ),
    Fault(
        "rpc: an answer that comes while others are given out wakes nobody",
        "packages/chassis/src/chassis/rpc/producers.py",
        "        self._wake_pending = False  # first: a later answer wakes again\n        while self._done:\n            done = self._waiting.get(self._done.popleft().id)\n            if done is not None and not done.done():\n                done.set_result(None)\n",
        "        while self._done:\n            done = self._waiting.get(self._done.popleft().id)\n            if done is not None and not done.done():\n                done.set_result(None)\n        self._wake_pending = False\n",
        (
            "packages/chassis/tests/unit/test_calls.py::test_an_answer_that_comes_meanwhile_wakes_the_loop_again",
        ),
    ),
    Fault(
        "rpc: what is done is done again after a stop",
        "packages/chassis/src/chassis/rpc/intake.py",
        "        self._on_request = lambda request: None\n        self.flush()\n",
        "        self._on_request = lambda request: None\n",
        (
            "packages/chassis/tests/unit/test_intake.py::test_what_is_done_is_acknowledged_before_the_connection_closes",
        ),
    ),
    Fault(
        "rpc: a request that returned to its queue stays counted",
        "packages/chassis/src/chassis/rpc/intake.py",
        "        self._unsettled_bytes -= self._unsettled.pop(tag)\n        if settlement is Settlement.ACK:\n",
        "        size = self._unsettled.pop(tag)\n        if settlement is Settlement.ACK:\n            self._unsettled_bytes -= size\n",
        (
            "packages/chassis/tests/unit/test_intake.py::test_an_intake_is_full_by_what_is_not_settled",
        ),
    ),
    Fault(
        "rpc: what is done returns with a suspect",
        "packages/chassis/src/chassis/rpc/intake.py",
        "            # If it ends the process, the finished ones must not return.\n            self.flush()\n",
        "",
        (
            "packages/chassis/tests/unit/test_suspects.py::test_what_is_finished_does_not_return_when_a_suspect_ends_the_process",
        ),
    ),
    Fault(
        "rpc: a limit outlives its block",
        "packages/chassis/src/chassis/rpc/transport.py",
        "        finally:\n            self._until = None",
        "        finally:\n            pass",
        (
            "packages/chassis/tests/unit/test_transport.py::test_a_limit_ends_with_its_block",
        ),
    ),
    Fault(
        "rpc: no call waits in the second outage",
        "packages/chassis/src/chassis/rpc/producers.py",
        "        self._connected.clear()\n        if not",
        "        if not",
        (
            "packages/chassis/tests/unit/test_async_calls.py::test_a_call_waits_for_the_next_connection_a_moment",
        ),
    ),
)
