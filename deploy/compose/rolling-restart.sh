#!/usr/bin/env bash
# Restarts every API container, one after the other, without a failed request.
#
#   deploy/compose/rolling-restart.sh              the same containers
#   deploy/compose/rolling-restart.sh --recreate   new containers of the current image
#
# Needs at least two APIs. If you did not start them with `make scale`, set COMPOSE to
# the command and files that you used.
set -euo pipefail
cd "$(dirname "$0")/../.."
READY=60 # seconds that an API may take to become ready

files="-f docker-compose.yml -f deploy/compose/docker-compose.scale.yml"
default=docker-compose
if docker compose version >/dev/null 2>&1; then default="docker compose"; fi
read -ra compose <<<"${COMPOSE:-$default $files}"
export API_HOST_PORT=${API_HOST_PORT-}

containers() { "${compose[@]}" ps -q api; }

gateway() { docker exec "$nginx" sh /gateway/gateway.sh "$@"; }

address() { # CONTAINER: its address in the gateway's network
    docker inspect "$1" -f \
        '{{range $name, $net := .NetworkSettings.Networks}}{{$name}} {{$net.IPAddress}}{{"\n"}}{{end}}' |
        awk '$1 ~ /_gateway$/ {print $2}'
}

wait_ready() { # CONTAINER
    local ask="import http.client as h; c = h.HTTPConnection('localhost', 8000, timeout=2); c.request('GET', '/health/ready'); raise SystemExit(c.getresponse().status != 200)"
    local until=$((SECONDS + READY))
    until docker exec "$1" python -I -S -c "$ask" 2>/dev/null; do
        ((SECONDS < until)) || { echo "$1 is not ready after $READY s" >&2; exit 1; }
        sleep 0.2
    done
}

replace() { # CONTAINER: prints the id of its replacement
    docker stop "$1" >/dev/null
    docker rm "$1" >/dev/null
    local others
    others=$(containers)
    "${compose[@]}" up -d --no-deps --no-recreate --scale "api=$count" api >&2
    containers | grep -vxF "$others"
}

nginx=$("${compose[@]}" ps -q nginx)
mapfile -t old < <(containers)
count=${#old[@]}
for container in "${old[@]}"; do
    ip=$(address "$container")
    gateway leave "$ip"
    if [[ ${1:-} == --recreate ]]; then
        new=$(replace "$container")
    else
        docker restart "$container" >/dev/null
        new=$container
    fi
    wait_ready "$new"
    gateway join "$ip"
    echo "restarted ${container:0:12}"
done
