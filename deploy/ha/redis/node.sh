#!/bin/sh
# Starts a Redis that Sentinels watch, or a Sentinel:
#
#   node.sh server [OPTION ...]    options of redis-server
#   node.sh sentinel [OPTION ...]
#
#   NODE                the name by which the other nodes reach this one
#   PORT                a server: its port; default 6379
#   FIRST               a server: the primary of a new cluster
#   RULES               a server: what clients may do, unless an option says it
#   MASTERS             a Sentinel: NAME=FIRST:PORT of each cluster that it watches
#   REDIS_PASSWORD      the clients' password
#   CLUSTER_PASSWORD    the one that the nodes use among themselves
#   DATA                the folder of the data; default /data
#
# A variable with _FILE at its end names a file with the password instead. Both kinds
# write into their configuration which server is the primary. Each start keeps that, and
# writes the rest anew.
set -eu
settings=$(dirname "$0")
data=${DATA:-/data}
port=${PORT:-6379}

password() { # NAME: the value of NAME, or the content of the file NAME_FILE
    eval "value=\${$1:-} file=\${$1_FILE:-}"
    # shellcheck disable=SC2154  # eval sets them
    if [ -n "$file" ]; then cat "$file"; else printf %s "$value"; fi
}

server() {
    follows=""
    if [ -e "$file" ]; then
        follows=$(grep '^replicaof ' "$file" || true)
    elif [ "$NODE" != "$FIRST" ]; then
        follows="replicaof $FIRST $port"
    fi
    cat "$settings/redis.conf" - <<END
dir $data
port $port
replica-announce-ip $NODE
${RULES:+user default on >$(password REDIS_PASSWORD) $RULES}
masterauth $cluster
user replica on >$cluster +psync +replconf +ping
user sentinel on >$cluster &* +multi +exec +ping +info +role +slaveof +publish +subscribe +config|rewrite +client|setname +client|kill +script|kill
$follows
END
}

sentinel() {
    cat "$settings/sentinel.conf" - <<END
dir $data
sentinel announce-ip $NODE
user default on >$(password REDIS_PASSWORD) &* +@connection +subscribe +psubscribe +info +sentinel|masters +sentinel|master +sentinel|get-master-addr-by-name +sentinel|sentinels +sentinel|replicas
user sentinel on >$cluster &* +@all
sentinel sentinel-user sentinel
sentinel sentinel-pass $cluster
END
    grep -sE '^sentinel (myid|monitor|known-|[a-z]+-epoch)' "$file" ||
        for master in $MASTERS; do
            first=${master#*=}
            echo "sentinel monitor ${master%=*} ${first%:*} ${first#*:} 2"
        done
    for master in $MASTERS; do
        sed "s/MASTER/${master%=*}/" "$settings/master.conf"
        echo "sentinel auth-user ${master%=*} sentinel"
        echo "sentinel auth-pass ${master%=*} $cluster"
    done
}

kind=$1
shift
file=$data/$kind.conf
cluster=$(password CLUSTER_PASSWORD)
umask 077
mkdir -p "$data"
$kind >"$file.new"
mv "$file.new" "$file"
[ "$(id -u)" != 0 ] || chown -R redis "$data"
[ "$kind" = server ] || set -- --sentinel "$@"
exec docker-entrypoint.sh redis-server "$file" "$@"
