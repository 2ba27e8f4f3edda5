#!/bin/sh
# Stops the gateway's container at its start if a setting cannot work. nginx's own message
# would name a line of a generated file. local/servers/nginx_settings.py has the same
# rules for `make run`.
set -eu

faults=""

fault() { # NAME, what to write
    faults="$faults
  $1: write $2"
}

is_between() { # VALUE LEAST MOST
    case $1 in
        "" | *[!0-9]* | ????????*) return 1 ;;
    esac
    [ "$1" -ge "$2" ] && [ "$1" -le "$3" ]
}

whole() { # NAME MOST
    eval "value=\${$1:-}"
    is_between "$value" 1 "$2" || fault "$1" "a whole number from 1 to $2"
}

size() { # NAME
    eval "value=\${$1:-}"
    case $value in
        *[kKmM]) value=${value%?} ;;
    esac
    is_between "$value" 1 1048576 || fault "$1" "a size such as 1m or 512k"
}

duration() { # NAME
    eval "value=\${$1:-}"
    case $value in
        *ms) value=${value%ms} ;;
        *[sm]) value=${value%?} ;;
    esac
    is_between "$value" 1 86400 || fault "$1" "a time such as 45s or 500ms"
}

is_network() { # an address, or a network with its number of bits
    address=${1%%/*} most=32
    case $address in
        "" | *[!0-9a-fA-F.:]*) return 1 ;;
        *:*:*) most=128 ;;
        *.*.*.*)
            for number in $(echo "$address" | tr . ' '); do
                is_between "$number" 0 255 || return 1
            done
            [ "$(echo "$address" | tr -dc .)" = ... ] || return 1
            ;;
        *) return 1 ;;
    esac
    case $1 in
        */*) is_between "${1#*/}" 0 $most ;;
    esac
}

networks() { # NAME, what to write
    eval "value=\${$1:-}"
    for network in $(echo "$value" | tr , ' '); do
        is_network "$network" || { fault "$1" "$2" && return; }
    done
}

set -f
whole NGINX_REQUESTS_PER_SECOND 1000000
whole NGINX_BURST 1000000
whole NGINX_CONNECTIONS 65535
whole NGINX_POLLING 65535
whole NGINX_LARGE_BODIES 65535
whole NGINX_LARGE_BODIES_OF_CLIENT 65535
size NGINX_MAX_BODY
duration NGINX_READ_TIMEOUT
case ${NGINX_API_SCHEME:-} in
    http | https) ;;
    *) fault NGINX_API_SCHEME "http or https" ;;
esac
networks NGINX_TRUSTED_PROXIES "addresses and networks, such as 10.0.0.0/8,192.0.2.7"
one="one network, such as 172.30.81.1/32; 0.0.0.0/32 for none"
case ${NGINX_SHARED_NETWORK:-} in
    "" | *[,\ ]*) fault NGINX_SHARED_NETWORK "$one" ;;
    *) networks NGINX_SHARED_NETWORK "$one" ;;
esac

[ -z "$faults" ] || {
    echo "The gateway's settings are invalid:$faults" >&2
    exit 2
}
