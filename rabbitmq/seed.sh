#!/usr/bin/env bash
# Prints settings for a node's first start. Node 0 begins the cluster, and the others join
# it. If node 0 has lost its volume while they run, it would begin a second cluster beside
# theirs, behind the same Service: then it joins one of them.
#
#   seed.sh FOLDER    with RabbitMQ's data, or without
set -euo pipefail

echo "# By seed.sh."
[[ $POD_NAME == *-0 && ! -e $1/mnesia ]] || exit 0
for ordinal in 1 2; do
    other=${POD_NAME%-0}-$ordinal.rabbitmq-nodes.$NAMESPACE
    # The port is open when that node is part of a cluster.
    if timeout 3 bash -c "exec 3<>/dev/tcp/$other/5672" 2>/dev/null; then
        echo "cluster_formation.k8s.seed_node = rabbit@$other"
        exit
    fi
done
