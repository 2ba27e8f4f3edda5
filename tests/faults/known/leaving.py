"""Faults in the way that clients leave a node of RabbitMQ before it stops."""

from tests.faults.planted import Fault

CHASSIS = "packages/chassis/src/chassis"
LEAVING = "packages/chassis/tests/unit/test_leaving.py"
AMQP = "packages/chassis/tests/unit/test_amqp_connection.py"
PROBE = "packages/chassis/tests/unit/test_probe.py"
SCRIPT = "tests/unit/test_rabbitmq_leave.py"

FAULTS = (
    Fault(
        "leaving: sent calls are lost",
        f"{CHASSIS}/rpc/client.py",
        "if not self._pending or now >= leave_by:",
        "if True:",
        (f"{LEAVING}::test_sent_calls_are_answered_before_the_node_is_left",),
    ),
    Fault(
        "leaving: a slow call holds up all others",
        f"{CHASSIS}/rpc/client.py",
        "if not self._pending or now >= leave_by:",
        "if not self._pending:",
        (f"{LEAVING}::test_a_slow_call_does_not_hold_up_the_others",),
    ),
    Fault(
        "leaving: new calls are still sent",
        f"{CHASSIS}/rpc/client.py",
        "                self._hold_new_calls(now)\n",
        "",
        (f"{LEAVING}::test_sent_calls_are_answered_before_the_node_is_left",),
    ),
    Fault(
        "leaving: callers do not wait",
        f"{CHASSIS}/rpc/client.py",
        "            self._connected.clear()\n            self._lost = now\n",
        "            self._connected.clear()\n",
        (f"{LEAVING}::test_sent_calls_are_answered_before_the_node_is_left",),
    ),
    Fault(
        "leaving: the time to answer never ends",
        f"{CHASSIS}/rpc/client.py",
        "leave_by = min(leave_by, now + LEAVE_SECONDS)",
        "leave_by = now + LEAVE_SECONDS",
        (f"{LEAVING}::test_a_slow_call_does_not_hold_up_the_others",),
    ),
    Fault(
        "leaving: the only node is asked",
        f"{CHASSIS}/rpc/amqp.py",
        "if self._others and self._probe",
        "if self._probe",
        (f"{AMQP}::test_the_only_node_is_not_asked",),
    ),
    Fault(
        "leaving: for no other node",
        f"{CHASSIS}/rpc/amqp.py",
        "if not self.is_leaving and is_any_open(self._others):",
        "if not self.is_leaving:",
        (f"{AMQP}::test_a_node_that_is_about_to_stop_is_left_for_another_one",),
    ),
    Fault(
        "leaving: its own node counts as another",
        f"{CHASSIS}/rpc/amqp.py",
        "if other != host]",
        "]",
        (f"{AMQP}::test_a_node_that_is_about_to_stop_is_left_for_another_one",),
    ),
    Fault(
        "leaving: silence counts as a refusal",
        f"{CHASSIS}/rpc/probe.py",
        "errno.ECONNREFUSED in (self._error, later)",
        "self._error != 0",
        (f"{PROBE}::test_silence_says_nothing_and_is_not_waited_for",),
    ),
    Fault(
        "leaving: the question is waited for",
        f"{CHASSIS}/rpc/probe.py",
        "            self._socket.setblocking(False)\n",
        "            self._socket.settimeout(1)\n",
        (f"{PROBE}::test_silence_says_nothing_and_is_not_waited_for",),
    ),
    Fault(
        "leaving: a service drops what runs",
        f"{CHASSIS}/rpc/loop.py",
        "self._grace_seconds if self._stopping else LEAVE_SECONDS",
        "self._grace_seconds if self._stopping else 0",
        (f"{LEAVING}::test_a_service_answers_what_runs_and_returns_the_rest",),
    ),
    Fault(
        "leaving: a service waits as long as for a stop",
        f"{CHASSIS}/rpc/loop.py",
        "self._grace_seconds if self._stopping else LEAVE_SECONDS",
        "self._grace_seconds",
        (f"{LEAVING}::test_a_slow_handler_does_not_hold_up_its_service",),
    ),
    Fault(
        "leaving: a service takes nothing any more",
        f"{CHASSIS}/rpc/loop.py",
        "        self._draining = False\n        intake.open()",
        "        intake.open()",
        (f"{LEAVING}::test_a_service_answers_what_runs_and_returns_the_rest",),
    ),
    Fault(
        "leaving: a service stays",
        f"{CHASSIS}/rpc/loop.py",
        "while not (self._stopping or intake.connection.is_leaving):",
        "while not self._stopping:",
        (f"{LEAVING}::test_a_service_answers_what_runs_and_returns_the_rest",),
    ),
    Fault(
        "leaving: a listener stays",
        f"{CHASSIS}/events/listener.py",
        "while not (self._stopping.is_set() or connection.is_leaving):",
        "while not self._stopping.is_set():",
        (f"{LEAVING}::test_a_listener_listens_to_the_next_node",),
    ),
    Fault(
        "leaving: a publisher stays",
        f"{CHASSIS}/events/publisher.py",
        "if self._connection is not None and self._connection.is_leaving:",
        "if False:",
        (f"{LEAVING}::test_a_publisher_leaves_when_all_is_confirmed",),
    ),
    Fault(
        "leaving: the script waits for nobody",
        "rabbitmq/leave.sh",
        "while has_clients &&",
        "while false &&",
        (f"{SCRIPT}::test_it_waits_for_the_clients_of_the_port",),
    ),
    Fault(
        "leaving: the script waits for ever",
        "rabbitmq/leave.sh",
        " && ((SECONDS < until))",
        "",
        (f"{SCRIPT}::test_it_does_not_wait_for_ever",),
    ),
    Fault(
        "leaving: the script asks for IPv4 alone",
        "rabbitmq/leave.sh",
        "/proc/net/tcp*",
        "/proc/net/tcp",
        (f"{SCRIPT}::test_it_waits_for_the_clients_of_the_port",),
    ),
)
