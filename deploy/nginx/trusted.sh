#!/bin/sh
# Prints nginx's directives for NGINX_TRUSTED_PROXIES: whose X-Forwarded-For counts. By
# default it is nobody's. local/servers/nginx.py has the same for `make run`.
set -eu

proxies=$(echo "${NGINX_TRUSTED_PROXIES:-}" | tr , ' ')
case $proxies in
    *[!0-9a-fA-F.:/\ ]*)
        echo "gateway: NGINX_TRUSTED_PROXIES: list addresses and networks, such as" \
            "10.0.0.0/8,192.0.2.7" >&2
        exit 2
        ;;
esac
echo 'geo $realip_remote_addr $is_trusted_proxy {'
echo "default 0;"
for proxy in $proxies; do echo "$proxy 1;"; done
echo "}"
for proxy in $proxies; do echo "set_real_ip_from $proxy;"; done
test -z "${proxies# }" || echo "real_ip_header X-Forwarded-For; real_ip_recursive on;"
