#!/usr/bin/env bash
# Before a node of a cluster stops: closes its ports, and waits until its clients have
# left. Those of this system that know several nodes do so within 4 s.
#
#   leave.sh [PORT]    of AMQP; without it 5672 and, for TLS, 5671
set -euo pipefail
SECONDS_TO_LEAVE=6

wanted=$(printf '|%04X' "${@:-5672}" 5671)
has_clients() {
    # Columns: number, own address:port, the other's, state; all in hexadecimal. 01 is
    # an established connection.
    grep -qE "^ *[0-9]+: [0-9A-F]+:(${wanted#|}) [0-9A-F:]+ 01 " /proc/net/tcp*
}

# It starts slowly on a busy machine.
timeout -s KILL 20 rabbitmqctl -q suspend_listeners
until=$((SECONDS + SECONDS_TO_LEAVE))
while has_clients && ((SECONDS < until)); do sleep 0.1; done
