# shellcheck shell=bash
# What kubectl-setup.sh applies, and what it reads from the manifests.
# shellcheck disable=SC2034,SC2154  # it sets and reads the other variables

# Prints the names of the services, from services/*/*-pod.yaml. Their images have the
# same names.
services() {
    sed -n 's/^ *image: \(.*\):.*/\1/p' "$root"/services/*/*-pod.yaml 2>/dev/null || true
}

# Prints the services' users of RabbitMQ.
service_users() {
    sed -n 's/^RABBITMQ_USER=//p' "$root"/services/*/*-config.env 2>/dev/null || true
}

# Prints those of services that have a schema in PostgreSQL.
services_with_events() {
    local each
    for each in $(grep -l '^EVENTS_DATABASE_URL_FILE=' \
        "$root"/services/*/*-config.env 2>/dev/null || true); do
        sed -n 's/^RABBITMQ_USER=//p' "$each"
    done
}

# Prints the documents of standard input that belong to a stage. Those of the first
# stage have no label.
documents() { # first, migration, application or entrance
    awk -v wanted="$1" '
        function flush() {
            if (stage == wanted) printf "---\n%s", text
            text = ""
            stage = "first"
        }
        BEGIN { stage = "first" }
        /^---$/ { flush(); next }
        /^    fastapi-starter\/stage: / { stage = $2 }
        { text = text $0 "\n" }
        END { flush() }
    '
}

# Prints the names of all objects of a kind on standard input.
names() { # kind
    awk -v wanted="$1" '
        /^---$/ { kind = "" }
        /^kind: / { kind = $2 }
        /^[a-z]/ { inside = ($1 == "metadata:") }
        inside && kind == wanted && /^  name: / { print $2 }
    '
}

render() {
    local image own
    own="fastapi-starter-api $(services) rabbitmq-service"
    {
        echo "namespace: $namespace"
        echo "resources: [../../deploy/overlays/$overlay]"
        echo "components: [$components]"
        if [ -n "$images" ]; then
            for image in $own; do
                grep -q "name: $image, .*digest: " "$images" ||
                    fail "$images has no digest of $image: run make push again"
            done
            sed -n '/^images:/p; /^  - /p' "$images"
        else
            echo "images:"
            for image in $own; do
                echo "  - {name: $image, newName: ${registry:+$registry/}$image, newTag: \"$tag\"}"
            done
        fi
        [ -z "$digests" ] || (cd "$root" && python3 -m deploy.images kustomize)
        settings
        patches
    } >"$work/kustomization.yaml"
    kubectl kustomize "$work" >"$work/all.yaml" || fail "kustomize failed"
    collector_patches >"$work/more"
    if [ -s "$work/more" ]; then
        cat "$work/more" >>"$work/kustomization.yaml"
        kubectl kustomize "$work" >"$work/all.yaml" || fail "kustomize failed"
    fi
    stage() { documents "$1" <"$work/all.yaml" >"$work/$1.yaml"; }
    stage first
    stage migration
    stage application
    stage entrance
}

settings() {
    local place literals=()
    [ "${redis[5]:-6379}" = 6379 ] || literals+=("REDIS_PORT=${redis[5]}")
    for ((place = 0; place < ${#identity[@]}; place += 2)); do
        literals+=("${identity[place]}=${identity[place + 1]}")
    done
    echo "configMapGenerator:"
    merged_settings backend-config "${literals[@]}"
    [ -z "$trusted_proxies" ] ||
        merged_settings nginx-config "NGINX_TRUSTED_PROXIES=$trusted_proxies"
}

merged_settings() { # ConfigMap, then NAME=value ...
    [ $# -gt 1 ] || return 0
    printf '%s\n' "  - name: $1" "    behavior: merge" "    literals:"
    shift
    # In YAML, two single quotes are one.
    printf "      - '%s'\n" "${@//\'/\'\'}"
}

patches() {
    echo "patches:"
    redis_patches
    identity_patch
    [ -z "$tls" ] || tls_patches
    if [ -n "$gateway" ]; then
        echo "  - target: {kind: HTTPRoute, name: fastapi-api}"
        echo "    patch: |"
        echo "      - {op: replace, path: /spec/parentRefs/0/name, value: \"${gateway#*/}\"}"
        echo "      - {op: add, path: /spec/parentRefs/0/namespace, value: \"${gateway%%/*}\"}"
        echo "      - {op: replace, path: /spec/parentRefs/0/sectionName, value: \"$listener\"}"
        [ -z "$host" ] || echo "      - {op: add, path: /spec/hostnames, value: [\"$host\"]}"
        return
    fi
    [ -n "$host" ] || return 0
    echo "  - target: {kind: Ingress, name: fastapi-api}"
    echo "    patch: |"
    echo "      - {op: add, path: /spec/rules/0/host, value: \"$host\"}"
    [ "$environment" != production ] ||
        echo "      - {op: replace, path: /spec/tls/0/hosts/0, value: \"$host\"}"
}

# Without an endpoint, the Collector would stop with an error about its configuration.
# Development prints telemetry in any case.
no_signoz() {
    [ "$environment" = production ] && awk '
        /name: SIGNOZ_ENDPOINT$/ {
            getline
            if ($1 == "valueFrom:") next
            if ($1 != "value:" || $2 ~ /^(""|null)?$/) empty = 1
        }
        END { exit !empty }
    ' "$work/all.yaml"
}

# What follows from SIGNOZ_ENDPOINT: the port that the Collector may send to.
collector_patches() {
    local port
    if no_signoz; then
        note "SIGNOZ_ENDPOINT is empty in observability/otel-collector.yaml:" \
            "the Collector prints telemetry, and sends it nowhere"
        echo "  - target: {kind: Deployment, name: otel-collector}"
        echo "    patch: |"
        echo "      - {op: replace, path: /spec/template/spec/containers/0/args/0, value: --config=/etc/otelcol/otel-collector-debug.yaml}"
        return
    fi
    port=$(sed -n '/name: SIGNOZ_ENDPOINT$/{n;s/.*:\([0-9]\{1,5\}\)$/\1/p}' "$work/all.yaml")
    [ "${port:-4317}" != 4317 ] || return 0
    echo "  - target: {kind: NetworkPolicy, name: otel-collector}"
    echo "    patch: |"
    echo "      - {op: replace, path: /spec/egress/0/ports/0/port, value: $port}"
}

# KEDA comes from another namespace: the name has this one, and it has no CA of ours.
tls_patches() {
    echo "  - target: {kind: Certificate, name: rabbitmq-tls}"
    echo "    patch: |"
    echo "      - {op: add, path: /spec/dnsNames/-, value: rabbitmq.$namespace.svc}"
    [ "$overlay" = production ] || return 0
    echo "  - target: {kind: TriggerAuthentication, name: rabbitmq}"
    echo "    patch: |"
    echo "      - {op: replace, path: /spec/secretTargetRef/0/name, value: rabbitmq-keda-tls}"
    echo "      - {op: add, path: /spec/secretTargetRef/-, value: {parameter: tls, name: rabbitmq-keda-tls, key: tls}}"
    echo "      - {op: add, path: /spec/secretTargetRef/-, value: {parameter: ca, name: rabbitmq-tls, key: ca.crt}}"
}

# The lists that KEDA looks at, and the ports that pods may reach.
redis_patches() {
    local prefix kind=redis trigger=0 list port
    prefix=$(sed -n 's/^CELERY_KEY_PREFIX=//p' "$root/backend/backend-config.env")
    [ -z "${redis[8]:-}" ] || kind="redis-sentinel"
    if [ "$overlay" = production ]; then
        echo "  - target: {kind: ScaledObject, name: fastapi-celery-worker}"
        echo "    patch: |"
        for list in high default low; do
            set -- "/spec/triggers/$trigger"
            echo "      - {op: replace, path: $1/type, value: $kind}"
            echo "      - {op: replace, path: $1/metadata/listName, value: \"$prefix$list\"}"
            echo "      - {op: replace, path: $1/metadata/databaseIndex, value: \"${redis[4]:-0}\"}"
            [ "${redis[7]:-}" != true ] ||
                echo "      - {op: add, path: $1/metadata/unsafeSsl, value: \"true\"}"
            trigger=$((trigger + 1))
        done
    fi
    for port in $(tr ' ' '\n' <<<"$redis_ports" | grep -vx 6379 | sort -nu); do
        echo "  - target: {kind: NetworkPolicy, name: external-servers}"
        echo "    patch: |"
        echo "      - {op: add, path: /spec/egress/0/ports/-, value: {protocol: TCP, port: $port}}"
    done
}
