#!/bin/sh
# Runs nginx, with nginx_config.conf, in front of every API that Docker's DNS knows.
# Reloads nginx when the APIs change. Old workers finish their requests.
#
#   gateway.sh             start (the container's entrypoint)
#   gateway.sh leave IP    send that API no new requests, and wait for its running ones
#   gateway.sh join IP     send it requests again
#
# nginx looks names up only when it starts. `server ... resolve` needs nginx 1.27.3. A
# variable in proxy_pass loses kept-alive connections and forgets which servers fail.
# This script works with every version.
set -eu

TEMPLATE=/gateway/nginx_config.conf
MAIN=/tmp/nginx.conf
SITE=/tmp/site.conf
APPLIED=/tmp/applied # addresses in the running configuration
LEFT=/tmp/left       # addresses that get no requests

write_main() {
    known=$(sh /gateway/trusted.sh) || exit 2
    cat >"$MAIN" <<END
worker_processes auto;
pid /tmp/nginx.pid;
worker_rlimit_nofile 8192;
events { worker_connections 4096; }
http {
    default_type application/octet-stream;
    client_body_temp_path /tmp/body;
    proxy_temp_path /tmp/proxy;
    fastcgi_temp_path /tmp/fastcgi;
    uwsgi_temp_path /tmp/uwsgi;
    scgi_temp_path /tmp/scgi;
    $1
    $known
    include $SITE;
    include /gateway/conf.d/*.conf;
}
END
}

addresses() { # of the APIs that get requests, one per line; IPv6 if there is no IPv4
    { getent ahostsv4 "$API_HOST" || getent ahostsv6 "$API_HOST"; } |
        awk '$2 == "STREAM" {print $1}' | sort -u | grep -vxF -f "$LEFT" || true
}

render() { # ADDRESSES
    # The template's `server ${API_UPSTREAM};` becomes one `server` per address.
    API_UPSTREAM=$(for ip in $1; do
        case $ip in *:*) ip="[$ip]" ;; esac
        printf '; server %s:%s' "$ip" "$API_PORT"
    done)
    export API_UPSTREAM="${API_UPSTREAM#; server }"
    names=$(env | sed -n 's/^\(NGINX_[A-Z_]*\|CORS_[A-Z_]*\|API_UPSTREAM\)=.*/${\1}/p')
    envsubst "$names" <"$TEMPLATE" >"$SITE"
    echo "$1" >"$APPLIED"
    echo "gateway: requests go to $API_UPSTREAM"
}

test_config() {
    nginx -c "$MAIN" -e stderr -t -q
}

apply() { # new addresses, if there are any; nginx is process 1
    now=$(addresses)
    # No address means that DNS or all APIs are down for a while: change nothing.
    if [ -n "$now" ] && [ "$now" != "$(cat "$APPLIED")" ]; then
        render "$now"
        test_config && kill -HUP 1
    fi
}

workers() { # the process ids of nginx's workers
    awk '/^Name:/ {name = $2} /^PPid:/ && name == "nginx" && $2 == 1 {print FILENAME}' \
        /proc/[0-9]*/status 2>/dev/null | tr -dc '0-9\n'
}

listen_on_both() { # families, unless the kernel lacks IPv6: then nginx would not start
    case $NGINX_PORT in
        *:*) ;; # has an address
        *) [ ! -e /proc/net/if_inet6 ] || NGINX_PORT="[::]:$NGINX_PORT ipv6only=off" ;;
    esac
}

start() {
    sh /gateway/check.sh
    : >"$LEFT"
    listen_on_both
    until now=$(addresses) && [ -n "$now" ]; do sleep 0.5; done
    render "$now"
    # nginx 1.27.4 and newer keep idle connections open for a moment after a reload, so
    # that no client sends a request on a connection that nginx closes.
    write_main "keepalive_min_timeout 5s;"
    test_config 2>/dev/null || write_main ""
    while sleep 1; do apply || echo "gateway: could not apply a change"; done &
    exec nginx -c "$MAIN" -e stderr -g 'daemon off;'
}

leave() { # IP
    echo "$1" >>"$LEFT"
    if [ -z "$(addresses)" ]; then
        join "$1"
        echo "gateway: $1 is the only API, so it stays" >&2
        exit 1
    fi
    before=$(workers)
    while grep -qxF "$1" "$APPLIED"; do sleep 0.1; done
    for worker in $before; do
        while [ -e "/proc/$worker" ]; do sleep 0.1; done
    done
}

join() { # IP
    others=$(grep -vxF "$1" "$LEFT" || true)
    echo "$others" >"$LEFT"
}

case ${1:-start} in
    start) start ;;
    leave) leave "$2" ;;
    join) join "$2" ;;
    *) echo "gateway.sh: unknown command $1" >&2; exit 2 ;;
esac
