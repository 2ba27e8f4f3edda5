#!/usr/bin/env bash
# Removes what kubectl-setup.sh created in a namespace. Data and secrets stay for the
# next kubectl-setup.sh, unless --delete-data is given.
set -euo pipefail
root=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
# shellcheck source=deploy/lib.sh
source "$root/deploy/lib.sh"

usage() {
    cat <<'TEXT'
Usage: ./kubectl-remove.sh [options]

  --namespace NAME   default fastapi-starter
  --context NAME     context of the kubeconfig; default: the current one
  --delete-data      also delete the secrets, and the volumes of RabbitMQ, Redis and
                     PostgreSQL
  --timeout SECONDS  for each wait; default 600
  --dry-run          print what would be removed, change nothing
  --yes              do not ask for confirmation
TEXT
}

namespace=fastapi-starter context="" timeout=600 delete_data="" dry_run="" yes=""
part=app.kubernetes.io/part-of=fastapi-starter

parse() {
    while [ $# -gt 0 ]; do
        case $1 in
        --delete-data) delete_data=1 && shift && continue ;;
        --dry-run) dry_run=1 && shift && continue ;;
        --yes) yes=1 && shift && continue ;;
        -h | --help) usage && exit 0 ;;
        --*) [ $# -ge 2 ] || fail "$1 needs a value" ;;
        *) fail "unknown argument $1; --help lists the options" ;;
        esac
        case $1 in
        --namespace) namespace=$2 ;;
        --context) context=$2 ;;
        --timeout) timeout=$2 ;;
        *) fail "unknown option $1; --help lists them" ;;
        esac
        shift 2
    done
    check_name "$namespace" --namespace
    check_number "$timeout" --timeout
}

remove() { # kinds, selector
    local found
    found=$(n get "$1" -l "$2" -o name --ignore-not-found)
    [ -n "$found" ] || return 0
    if [ -n "$dry_run" ]; then
        say "would delete:"
        printf '%s\n' "$found"
        return
    fi
    # Deletes in the foreground, which ends after the pods of a workload are gone.
    n delete "$1" -l "$2" --cascade=foreground --timeout="${timeout}s" || {
        n get pods -l "$part" >&2
        fail "some objects still exist after $timeout s; run this again"
    }
}

# A stopping node waits until the others can do without it. Here all nodes stop, so none
# may wait.
release_rabbitmq() {
    local pod
    for pod in $(n get pods -l app.kubernetes.io/name=rabbitmq -o name); do
        n exec "$pod" -c rabbitmq -- touch /tmp/stop-all >/dev/null 2>&1 || true
    done
}

custom() { # prints the kinds that the cluster has, each after a comma
    local kind
    for kind in "$@"; do
        ! has_crd "$kind" || printf ',%s' "$kind"
    done
}

main() {
    local what="Remove what runs in namespace $namespace; keep data and secrets"
    local routes scalers clusters issued
    parse "$@"
    [ -z "$delete_data" ] || what="Remove ALL in namespace $namespace, DATA INCLUDED"
    choose_context "$what"
    if ! k get namespace "$namespace" >/dev/null 2>&1; then
        say "The namespace $namespace does not exist: nothing to do."
        return
    fi
    # First what accepts requests, then what finishes accepted work, then the servers.
    routes=$(custom httproutes.gateway.networking.k8s.io)
    scalers=$(custom scaledobjects.keda.sh triggerauthentications.keda.sh)
    remove "ingresses,horizontalpodautoscalers$routes$scalers" "$part"
    remove deployments "$part,app.kubernetes.io/name in (nginx,fastapi-api)"
    remove deployments \
        "$part,app.kubernetes.io/name notin (otel-collector),fastapi-starter/role notin (service)"
    remove deployments "$part"
    [ -n "$dry_run" ] || release_rabbitmq
    remove statefulsets,jobs "$part"
    issued=$(custom certificates.cert-manager.io issuers.cert-manager.io)
    remove "services,configmaps,serviceaccounts,poddisruptionbudgets,networkpolicies$issued" "$part"
    if [ -n "$delete_data" ]; then
        # The volumes of a RabbitmqCluster go with it.
        clusters=$(custom rabbitmqclusters.rabbitmq.com)
        remove "persistentvolumeclaims,secrets$clusters" "$part"
    else
        say "Volumes and secrets are kept; --delete-data removes them."
    fi
    say "Done. The namespace stays: kubectl delete namespace $namespace"
}

main "$@"
