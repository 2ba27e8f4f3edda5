#!/usr/bin/env bash
# Deploys or updates the whole system in a Kubernetes cluster. Run it again after a
# change or a failure. docs/DEPLOYMENT.md explains the steps.
set -euo pipefail
root=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
# shellcheck source=deploy/lib.sh
source "$root/deploy/lib.sh"
# shellcheck source=deploy/secrets.sh
source "$root/deploy/secrets.sh"
# shellcheck source=deploy/identity.sh
source "$root/deploy/identity.sh"
# shellcheck source=deploy/smoke.sh
source "$root/deploy/smoke.sh"

usage() {
    cat <<'TEXT'
Usage: ./kubectl-setup.sh [options]

  --environment NAME        development (default; runs one PostgreSQL and one Redis in
                            the cluster) or production (managed servers, autoscaling)
  --namespace NAME          default fastapi-starter
  --tag TAG                 tag of this project's images; default 0.1.0
  --registry HOST/PATH      registry of these images; default: already on the nodes
  --images FILE             images by digest, as `make push` writes them, in place of the
                            two options above
  --database-url-file FILE  DATABASE_URL of a managed PostgreSQL (production)
  --migrations-database-url-file FILE  the same of the role that owns the tables; without
                            it, DATABASE_URL's role runs the migrations
  --redis-url-file FILE     URL of a managed Redis (production)
  --redis-monitoring-url-file FILE  the same of a user for KEDA
  --redis-keys-url-file FILE  URL of the Redis for idempotency keys (production); may be
                            the file of --redis-url-file
  --host NAME               host name of the Ingress or HTTPRoute
  --gateway NAMESPACE/NAME  create an HTTPRoute for this Gateway, and no Ingress
  --tls                     TLS between the parts in the cluster; needs cert-manager
  --context NAME            context of the kubeconfig; default: the current one
  --timeout SECONDS         for each wait; default 600
  --no-migration            do not migrate the schema; use it to go back to an older tag
  --check                   deploy nothing: ask what runs for each of its promises once
  --check-token-file FILE   the access token for --check, if authentication is on
  --dry-run                 print what would be applied, change nothing
  --yes                     do not ask for confirmation

Environment: AUTH_ISSUER, AUTH_AUDIENCE and the other AUTH_... settings go to the API, and
are kept for later runs. Production needs them, or AUTH_DISABLED=true.
TEXT
}

environment=development namespace=fastapi-starter tag=0.1.0 registry="" host=""
tls="" gateway="" components="" context="" timeout=600 dry_run="" yes="" no_migration=""
database_url="" migrations_url="" redis_url="" monitoring_url="" redis_keys_url=""
redis=() monitoring=() keys_port=6379 check="" check_token="" images=""

parse() {
    while [ $# -gt 0 ]; do
        case $1 in
        --dry-run) dry_run=1 && shift && continue ;;
        --yes) yes=1 && shift && continue ;;
        --tls) tls=1 && shift && continue ;;
        --no-migration) no_migration=1 && shift && continue ;;
        --check) check=1 && shift && continue ;;
        -h | --help) usage && exit 0 ;;
        --*) [ $# -ge 2 ] || fail "$1 needs a value" ;;
        *) fail "unknown argument $1; --help lists the options" ;;
        esac
        case $1 in
        --environment) environment=$2 ;;
        --namespace) namespace=$2 ;;
        --tag) tag=$2 ;;
        --registry) registry=${2%/} ;;
        --database-url-file) database_url=$2 ;;
        --migrations-database-url-file) migrations_url=$2 ;;
        --redis-url-file) redis_url=$2 ;;
        --redis-monitoring-url-file) monitoring_url=$2 ;;
        --redis-keys-url-file) redis_keys_url=$2 ;;
        --host) host=$2 ;;
        --gateway) gateway=$2 ;;
        --context) context=$2 ;;
        --images) images=$2 ;;
        --check-token-file) check=1 check_token=$2 ;;
        --timeout) timeout=$2 ;;
        *) fail "unknown option $1; --help lists them" ;;
        esac
        shift 2
    done
    case $environment in
    development | production) ;;
    *) fail "--environment must be development or production" ;;
    esac
    [ "$tag" != latest ] || fail "--tag latest cannot be rolled back: name a version"
    case $gateway in
    "" | ?*/?*) ;;
    *) fail "--gateway takes NAMESPACE/NAME" ;;
    esac
    check_name "$namespace" --namespace
    check_number "$timeout" --timeout
    [ -z "$migrations_url" ] || [ -n "$database_url" ] ||
        fail "--migrations-database-url-file needs --database-url-file"
    [ -z "$monitoring_url" ] || [ -n "$redis_url" ] ||
        fail "--redis-monitoring-url-file needs --redis-url-file"
    [ -z "$images" ] || grep -q "^images:" "$images" 2>/dev/null ||
        fail "$images cannot be read, or names no images"
    [ -z "$check_token" ] || [ -s "$check_token" ] ||
        fail "$check_token cannot be read, or is empty"
    for file in "$database_url" "$migrations_url" "$redis_url" "$monitoring_url" \
        "$redis_keys_url"; do
        [ -n "$file" ] || continue
        [ "$environment" = production ] || fail "development uses its own servers"
        [ -s "$file" ] || fail "$file cannot be read, or is empty"
    done
}

# --- Before anything is changed -----------------------------------------------------

preflight() {
    local version
    choose_context "Set up $environment in namespace $namespace, images ${images:-$tag}"
    version=$(cluster_version)
    is_at_least_1_31 "$version" || fail "Kubernetes $version: 1.31 or newer is needed"
    say "Kubernetes $version"
    read_identity
    check_identity
    components=${gateway:+../../backend/gateway-api}
    if has_crd securitycontextconstraints.security.openshift.io; then
        say "OpenShift: it chooses the pods' user ids"
        components=${components:+$components, }../../deploy/components/openshift
    fi
    if [ -n "$tls" ]; then
        has_crd certificates.cert-manager.io ||
            fail "--tls needs cert-manager (CRD certificates.cert-manager.io)"
        components=${components:+$components, }../../deploy/components/tls
    fi
    overlay=development
    if [ "$environment" = production ]; then
        overlay=production
        if ! has_crd scaledobjects.keda.sh; then
            overlay=production-cpu
            note "KEDA is not installed (CRD scaledobjects.keda.sh): scaling on CPU only"
        fi
        k get apiservice v1beta1.metrics.k8s.io >/dev/null 2>&1 ||
            note "there is no metrics server: CPU cannot be measured, nothing will scale"
        read_redis
        need_url database-credentials "$database_url" --database-url-file
        need_url redis-credentials "$redis_url" --redis-url-file
        need_url redis-keys-credentials "$redis_keys_url" --redis-keys-url-file
    fi
    if [ -n "$gateway" ]; then
        has_crd httproutes.gateway.networking.k8s.io ||
            fail "--gateway needs the Gateway API (CRD httproutes.gateway.networking.k8s.io)"
    elif [ -z "$(k get ingressclass -o name 2>/dev/null)" ]; then
        note "there is no ingress controller: reach nginx with kubectl port-forward"
    fi
    case $(k get storageclass -o yaml 2>/dev/null) in
    *'is-default-class: "true"'*) ;;
    *) note "there is no default StorageClass: volumes will stay Pending" ;;
    esac
}

# user, password, address, tls, database, port: of the file, or of an earlier run.
read_redis() {
    local url="" parts keys="" keys_parts
    if [ -n "$redis_url" ]; then url=$(cat "$redis_url"); else
        url=$(secret_value redis-credentials url)
    fi
    [ -n "$url" ] || return 0
    parts=$(redis_parts "$url") || exit 1
    mapfile -t redis <<<"$parts"
    if [ -n "$monitoring_url" ]; then
        parts=$(redis_parts "$(cat "$monitoring_url")") || exit 1
    fi
    mapfile -t monitoring <<<"$parts"
    if [ -n "$redis_keys_url" ]; then keys=$(cat "$redis_keys_url"); else
        keys=$(secret_value redis-keys-credentials url)
    fi
    if [ -n "$keys" ]; then
        keys_parts=$(redis_parts "$keys") || exit 1
        keys_port=${keys_parts##*$'\n'}
    fi
    if [ "$overlay" = production ] && [ -z "${redis[2]}" ]; then
        overlay=production-cpu
        note "KEDA's trigger redis takes no Sentinels: scaling on CPU only"
    fi
}

redis_parts() { (cd "$root" && python3 -m deploy.redis_parts <<<"$1"); }

need_url() { # secret, file, option
    [ -n "$2" ] || has_secret "$1" ||
        fail "production uses a managed server: name its URL with $3"
}

# --- What is applied -----------------------------------------------------------------

render() {
    local image own
    own="fastapi-starter-api $(services) rabbitmq-service"
    mkdir -p "$root/.local"
    work=$(mktemp -d "$root/.local/deploy.XXXXXX")
    trap 'rm -rf "$work"' EXIT
    chmod 700 "$work"
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
        settings
        patches
    } >"$work/kustomization.yaml"
    kubectl kustomize "$work" >"$work/all.yaml" || fail "kustomize failed"
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
    [ ${#literals[@]} -gt 0 ] || return 0
    printf '%s\n' "configMapGenerator:" "  - name: backend-config" \
        "    behavior: merge" "    literals:"
    # In YAML, two single quotes are one.
    printf "      - '%s'\n" "${literals[@]//\'/\'\'}"
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
    local prefix trigger=0 list port
    prefix=$(sed -n 's/^CELERY_KEY_PREFIX=//p' "$root/backend/backend-config.env")
    if [ "$overlay" = production ] && [ "$prefix${redis[4]:-0}" != 0 ]; then
        echo "  - target: {kind: ScaledObject, name: fastapi-celery-worker}"
        echo "    patch: |"
        for list in high default low; do
            set -- "/spec/triggers/$trigger/metadata"
            echo "      - {op: replace, path: $1/listName, value: \"$prefix$list\"}"
            echo "      - {op: replace, path: $1/databaseIndex, value: \"${redis[4]:-0}\"}"
            trigger=$((trigger + 1))
        done
    fi
    for port in "${redis[5]:-6379}" "$keys_port"; do
        [ "$port" != 6379 ] || continue
        echo "  - target: {kind: NetworkPolicy, name: external-servers}"
        echo "    patch: |"
        echo "      - {op: add, path: /spec/egress/0/ports/-, value: {protocol: TCP, port: $port}}"
    done
}

# --- The steps -----------------------------------------------------------------------

ensure_namespace() {
    k get namespace "$namespace" >/dev/null 2>&1 && return
    k create namespace "$namespace"
    for mode in enforce audit warn; do
        k label namespace "$namespace" "pod-security.kubernetes.io/$mode=restricted"
    done
}

apply() { # stage
    n apply -f "$work/$1.yaml" >"$work/applied" || {
        cat "$work/applied" >&2
        fail "applying failed; fix the cause and run this again"
    }
    grep -v ' unchanged$' "$work/applied" || true
}

migrate() {
    local state="" deadline=$((SECONDS + timeout))
    n delete job fastapi-migrations --ignore-not-found --wait=true >/dev/null
    apply migration
    while [ $SECONDS -lt $deadline ]; do
        state=$(n get job fastapi-migrations \
            -o 'jsonpath={.status.conditions[?(@.status=="True")].type}') || true
        case $state in
        *Complete*) return ;;
        *Failed*) break ;;
        esac
        sleep 2
    done
    explain fastapi-migrations
    fail "the migration did not complete${state:+ ($state)}; the old version still runs"
}

roll_out() { # kind name ...
    local kind=$1 name
    shift
    for name in "$@"; do
        say "waiting for $name"
        n rollout status "$kind/$name" --timeout="${timeout}s" || {
            explain "$name"
            fail "$name did not become ready; fix the cause and run this again"
        }
    done
}

# Of two releases, the newer one does the work and the older one asks for it: workers
# know the messages of older APIs, not those of newer ones.
roll_out_application() {
    apply application
    # shellcheck disable=SC2046  # one word for each name
    roll_out deployment $(services) fastapi-celery-worker fastapi-celery-beat \
        fastapi-event-relay
}

roll_out_entrance() {
    apply entrance
    roll_out deployment fastapi-api nginx
}

# Deletes what an earlier run created with other options, or before KEDA was installed.
forget_alternatives() {
    # shellcheck disable=SC2046  # one word for each name
    [ "$overlay" != production ] || n delete --ignore-not-found >/dev/null \
        horizontalpodautoscaler $(services) fastapi-celery-worker
    if [ -n "$gateway" ]; then
        n delete ingress fastapi-api --ignore-not-found >/dev/null
    elif has_crd httproutes.gateway.networking.k8s.io; then
        n delete httproute fastapi-api --ignore-not-found >/dev/null
    fi
}

main() {
    parse "$@"
    if [ -n "$check" ]; then
        choose_context "Check what runs in namespace $namespace"
        smoke_test
        return
    fi
    preflight
    render
    if [ -n "$dry_run" ]; then
        say "dry run: nothing is changed; missing secrets would be created"
        cat "$work/all.yaml"
        return
    fi
    ensure_namespace
    make_secrets
    say "1 of 3: configuration and servers"
    apply first
    # shellcheck disable=SC2046  # one word for each name
    roll_out statefulset $(names StatefulSet <"$work/first.yaml")
    roll_out deployment otel-collector
    if [ -n "$no_migration" ]; then
        say "2 of 3: no migration"
    else
        say "2 of 3: migration"
        migrate
    fi
    say "3 of 3: application"
    forget_alternatives
    if [ -z "$no_migration" ]; then
        roll_out_application
        roll_out_entrance
    else # back to an older release
        roll_out_entrance
        roll_out_application
    fi
    # The previous release's user of all processes, which may do everything.
    n exec rabbitmq-0 -c rabbitmq -- rabbitmqctl delete_user app >/dev/null 2>&1 || true
    say "Done. Try it:"
    say "  kubectl -n $namespace port-forward service/nginx 8081:8080"
    say "  curl http://127.0.0.1:8081/health"
    say "Or ask for each promise once: $0 --namespace $namespace --check"
}

main "$@"
