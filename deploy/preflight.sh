# shellcheck shell=bash
# What kubectl-setup.sh finds out, and refuses, before it changes anything.
# shellcheck disable=SC2034,SC2154  # it sets and reads the other variables

preflight() {
    local version
    choose_context "Set up $environment in namespace $namespace, images ${images:-$tag}"
    version=$(cluster_version)
    is_at_least_1_31 "$version" || fail "Kubernetes $version: 1.31 or newer is needed"
    say "Kubernetes $version"
    find_components
    check_rights setup "${unused[@]}"
    read_identity
    check_identity
    if [ "$environment" = production ]; then
        read_redis
        need_url database-credentials "$database_url" --database-url-file
        need_url redis-credentials "$redis_url" --redis-url-file
        need_url redis-keys-credentials "$redis_keys_url" --redis-keys-url-file
        [ -n "$trusted_proxies" ] ||
            grep -q '^NGINX_TRUSTED_PROXIES=.' "$root/deploy/nginx/nginx-config.env" ||
            note "nginx believes no proxy, so all clients behind one count as one:" \
                "name it with --trusted-proxies"
    fi
    find_servers
}

# What decides about manifests, and about the rights that they need.
find_components() {
    components=${gateway:+../../backend/gateway-api}
    has_api keda.sh/v1alpha1 scaledobjects && keda=1
    has_api gateway.networking.k8s.io/v1 httproutes && routes=1
    if has_api security.openshift.io/v1 securitycontextconstraints; then
        say "OpenShift: it chooses the pods' user ids"
        components=${components:+$components, }../../deploy/components/openshift
    fi
    if [ -n "$tls" ]; then
        has_api cert-manager.io/v1 certificates ||
            fail "--tls needs cert-manager (certificates.cert-manager.io)"
        components=${components:+$components, }../../deploy/components/tls
    else
        unused+=(cert-manager.io)
    fi
    if [ -n "$gateway" ]; then
        [ -n "$routes" ] ||
            fail "--gateway needs the Gateway API (httproutes.gateway.networking.k8s.io)"
    else
        unused+=(gateway.networking.k8s.io)
    fi
    overlay=$environment
    if [ "$environment" = production ] && [ -z "$keda" ]; then
        overlay=production-cpu
        note "KEDA is not installed (scaledobjects.keda.sh): scaling on CPU only"
    fi
    [ "$overlay" = production ] || unused+=(keda.sh)
}

# What pods and requests will miss; the rest works without it.
find_servers() {
    if [ "$environment" = production ]; then
        k get --raw /apis/metrics.k8s.io/v1beta1 >/dev/null 2>"$work/error" ||
            note "no metrics server answers: CPU cannot be measured, nothing will scale" \
                "($(cat "$work/error"))"
        [ -n "$gateway" ] || has_secret api-tls ||
            note "there is no secret api-tls, so the Ingress has no certificate. Before you" \
                "go live: kubectl -n $namespace create secret tls api-tls --cert FILE --key FILE"
    fi
    if [ -z "$gateway" ] &&
        may_read ingressclass "whether there is an ingress controller" -o name; then
        [ -n "$answer" ] ||
            note "there is no ingress controller: reach nginx with kubectl port-forward"
    fi
    if may_read storageclass "whether there is a default StorageClass" -o yaml; then
        [[ $answer == *'is-default-class: "true"'* ]] ||
            note "there is no default StorageClass: volumes will stay Pending"
    fi
}

# Sets `redis` and `monitoring` to the lines of deploy/redis_parts.py: for the URLs of the
# files, or those of an earlier run.
read_redis() {
    local url="" parts keys="" keys_parts
    if [ -n "$redis_url" ]; then url=$(cat "$redis_url"); else
        url=$(secret_value redis-credentials url)
    fi
    [ -n "$url" ] || return 0
    parts=$(redis_parts "$url") || exit 1
    mapfile -t redis <<<"$parts"
    redis_ports=${redis[6]}
    if [ -n "$monitoring_url" ]; then
        parts=$(redis_parts "$(cat "$monitoring_url")") || exit 1
    fi
    mapfile -t monitoring <<<"$parts"
    if [ -n "$redis_keys_url" ]; then keys=$(cat "$redis_keys_url"); else
        keys=$(secret_value redis-keys-credentials url)
    fi
    if [ -n "$keys" ]; then
        keys_parts=$(redis_parts "$keys") || exit 1
        redis_ports+=" $(sed -n 7p <<<"$keys_parts")"
    fi
}

redis_parts() { (cd "$root" && python3 -m deploy.redis_parts <<<"$1"); }

need_url() { # secret, file, option
    [ -n "$2" ] || has_secret "$1" ||
        fail "production uses a managed server: name its URL with $3"
}
