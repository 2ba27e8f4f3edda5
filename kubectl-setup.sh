#!/usr/bin/env bash
# Deploys or updates the whole system in a Kubernetes cluster. Run it again after a
# change or a failure. docs/DEPLOYMENT.md explains the steps.
set -euo pipefail
root=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
# shellcheck source=deploy/lib.sh
source "$root/deploy/lib.sh"
# shellcheck source=deploy/explain.sh
source "$root/deploy/explain.sh"
# shellcheck source=deploy/manifests.sh
source "$root/deploy/manifests.sh"
# shellcheck source=deploy/preflight.sh
source "$root/deploy/preflight.sh"
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
  --digests                 images of others by digest, too: deploy/digests has them
  --database-url-file FILE  DATABASE_URL of a managed PostgreSQL (production)
  --migrations-database-url-file FILE  the same of the role that owns the tables; without
                            it, DATABASE_URL's role runs the migrations
  --redis-url-file FILE     URL of a managed Redis (production)
  --redis-monitoring-url-file FILE  the same of a user for KEDA
  --redis-keys-url-file FILE  URL of the Redis for idempotency keys (production); may be
                            the file of --redis-url-file
  --host NAME               host name of the Ingress or HTTPRoute
  --gateway NAMESPACE/NAME  create an HTTPRoute for this Gateway, and no Ingress; it
                            takes the listener "https", or that of NAMESPACE/NAME/LISTENER
  --trusted-proxies LIST    addresses and networks of the ingress controller or Gateway,
                            with commas: nginx believes what they report of clients
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
listener=https trusted_proxies="" redis=() monitoring=() redis_ports="" keda="" routes="" unused=()
check="" check_token="" images="" digests=""

parse() {
    while [ $# -gt 0 ]; do
        case $1 in
        --dry-run) dry_run=1 && shift && continue ;;
        --yes) yes=1 && shift && continue ;;
        --tls) tls=1 && shift && continue ;;
        --no-migration) no_migration=1 && shift && continue ;;
        --check) check=1 && shift && continue ;;
        --digests) digests=1 && shift && continue ;;
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
        --trusted-proxies) trusted_proxies=$2 ;;
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
    if [[ $gateway =~ ^([^/]+/[^/]+)/([^/]+)$ ]]; then
        gateway=${BASH_REMATCH[1]} listener=${BASH_REMATCH[2]}
    fi
    [[ $gateway =~ ^([^/]+/[^/]+)?$ ]] || fail "--gateway takes NAMESPACE/NAME[/LISTENER]"
    [[ $trusted_proxies =~ ^[0-9a-fA-F.:/,]*$ ]] ||
        fail "--trusted-proxies takes addresses and networks, such as 10.0.0.0/8,192.0.2.7"
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

# --- The steps -----------------------------------------------------------------------

report() { printf '%s\n' "$*" | tee -a "$work/changes"; }

# Makes the namespace, or gives an existing one a pod security level if it has none.
ensure_namespace() {
    local prefix='{.metadata.labels.pod-security\.kubernetes\.io/'
    may_read namespace "its pod security level" "$namespace" \
        --ignore-not-found -o "jsonpath=found ${prefix}enforce},${prefix}audit},${prefix}warn}" ||
        return 0
    case $answer in
    "")
        k create namespace "$namespace" >/dev/null || fail "the namespace cannot be created"
        report "namespace/$namespace created"
        label_namespace
        ;;
    "found ,,") label_namespace ;;
    "found restricted,"*) ;;
    *) note "the namespace keeps its pod security level, ${answer#found } (enforce, audit," \
        "warn); these pods also meet enforce=restricted" ;;
    esac
}

label_namespace() {
    local label=pod-security.kubernetes.io
    local labels=("$label/enforce=restricted" "$label/audit=restricted" "$label/warn=restricted")
    if k label namespace "$namespace" "${labels[@]}" >/dev/null 2>"$work/error"; then
        cat "$work/error" >&2 # warnings about pods that it has
        report "namespace/$namespace labeled"
        return
    fi
    grep -q '(Forbidden)' "$work/error" || fail "$(cat "$work/error")"
    note "the namespace enforces no pod security level, and you may not label it. Ask for:" \
        "kubectl label namespace $namespace ${labels[*]}"
}

apply() { # stage
    local file=$work/$1.yaml failed=""
    n get -f "$file" --ignore-not-found --show-managed-fields -o json >"$work/before" ||
        fail "the cluster does not show what it has"
    n apply --server-side --force-conflicts -f "$file" --show-managed-fields -o json \
        >"$work/after" || failed=1
    [ -z "$failed" ] ||
        n get -f "$file" --ignore-not-found --show-managed-fields -o json >"$work/after"
    # Each run makes the Job again.
    [ "$1" = migration ] || (cd "$root" && python3 -m deploy.changes "$work/before" "$work/after") |
        tee -a "$work/changes"
    [ -z "$failed" ] || fail "applying failed; fix the cause and run this again"
}

migrate() {
    local state
    erase jobs fastapi-migrations >/dev/null
    apply migration
    await_job fastapi-migrations
    case $state in *Complete*) return ;; esac
    explain job fastapi-migrations
    fail "the migration did not complete${state:+ ($state)}; the old version still runs"
}

roll_out() { # kind name ...
    local kind=$1 name
    shift
    for name in "$@"; do
        say "waiting for $name"
        n rollout status "$kind/$name" --timeout="${timeout}s" >&2 || {
            explain "$kind" "$name"
            fail "$name did not become ready; fix the cause and run this again"
        }
    done
}

# A new release of RabbitMQ leaves its features off until all nodes have it.
enable_feature_flags() {
    n exec rabbitmq-0 -c rabbitmq -- rabbitmqctl -q enable_feature_flag all >/dev/null ||
        note "RabbitMQ's feature flags are not enabled: see docs/DEPLOYMENT.md"
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

# Deletes what an earlier run created with other options, or before KEDA was installed:
# two autoscalers must not pull at one Deployment.
forget_alternatives() {
    local scaled
    # shellcheck disable=SC2207  # one word for each name
    scaled=($(services) fastapi-celery-worker)
    case $overlay in
    production) erase horizontalpodautoscalers "${scaled[@]}" ;;
    development) erase horizontalpodautoscalers "${scaled[@]}" fastapi-api nginx ;;
    esac
    if [ "$overlay" != production ] && [ -n "$keda" ] && left_over scaledobjects; then
        erase scaledobjects "${scaled[@]}"
    fi
    if [ -n "$gateway" ]; then
        erase ingresses fastapi-api
    elif [ -n "$routes" ] && left_over httproutes; then
        erase httproutes fastapi-api
    fi
}

left_over() { # kind
    may_read "$1" "whether an earlier run left some" -l "$part" -o name && [ -n "$answer" ]
}

main() {
    parse "$@"
    make_work
    if [ -n "$check" ]; then
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
    enable_feature_flags
    roll_out deployment otel-collector
    if [ -n "$no_migration" ]; then
        say "2 of 3: no migration"
    else
        say "2 of 3: migration"
        migrate
    fi
    say "3 of 3: application"
    forget_alternatives | tee -a "$work/changes"
    if [ -z "$no_migration" ]; then
        roll_out_application
        roll_out_entrance
    else # back to an older release
        roll_out_entrance
        roll_out_application
    fi
    # The previous release's user of all processes, which may do everything.
    n exec rabbitmq-0 -c rabbitmq -- rabbitmqctl delete_user app >/dev/null 2>&1 || true
    [ -s "$work/changes" ] || say "Nothing has changed."
    say "Done. Try it:"
    say "  kubectl -n $namespace port-forward service/nginx 8081:8080"
    say "  curl http://127.0.0.1:8081/health"
    say "Or ask for each promise once: $0 --namespace $namespace --check"
}

main "$@"
