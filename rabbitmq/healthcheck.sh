#!/usr/bin/env bash
# Healthy: AMQP connections are accepted, and RabbitMQ's HTTP server answers.
# `rabbitmq-diagnostics` would start an Erlang machine for each probe.
set -euo pipefail
exec 3<>/dev/tcp/localhost/5672
exec 3>&-
exec 3<>/dev/tcp/localhost/15672
printf 'GET / HTTP/1.0\r\n\r\n' >&3
read -r -t 3 _ status _ <&3
[[ $status == 200 ]]
