#!/usr/bin/env bash
# Removes what kubectl-setup.sh created in a namespace. Data and secrets stay for the
# next kubectl-setup.sh, unless --delete-data is given.
set -euo pipefail
root=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
# shellcheck source=deploy/lib.sh
source "$root/deploy/lib.sh"
# shellcheck source=deploy/explain.sh
source "$root/deploy/explain.sh"

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
    if [ -z "$dry_run" ]; then
        erase "$1" -l "$2"
        return
    fi
    found=$(n get "$1" -l "$2" -o name --ignore-not-found)
    # The selectors of later steps find again what an earlier one would delete.
    grep -vxF -f "$work/listed" <<<"$found" | grep . | tee -a "$work/listed" || true
}

# A stopping node waits until the others can do without it. Here all nodes stop, so none
# may wait.
release_rabbitmq() {
    local pods pod
    pods=$(n get pods -l app.kubernetes.io/name=rabbitmq -o name)
    for pod in $pods; do
        n exec "$pod" -c rabbitmq -- touch /tmp/stop-all >/dev/null 2>&1 || true
    done
}

# Prints those kinds that the cluster has and the user may list, each after a comma.
custom() { # group/version, kind ...
    local group=$1 kind
    shift
    for kind in "$@"; do
        has_api "$group" "$kind" || continue
        kind=$kind.${group%/*}
        ! may_read "$kind" "whether kubectl-setup.sh left some" -l "$part" -o name ||
            printf ',%s' "$kind"
    done
}

main() {
    local routes scalers clusters issued unused=(secrets persistentvolumeclaims)
    parse "$@"
    if [ -n "$delete_data" ]; then
        unused=()
        choose_context "Remove ALL in namespace $namespace, DATA INCLUDED"
    else
        choose_context "Remove what runs in namespace $namespace; keep data and secrets"
    fi
    make_work
    touch "$work/listed"
    if may_read namespace "whether it is there" "$namespace" -o name --ignore-not-found &&
        [ -z "$answer" ]; then
        say "The namespace $namespace does not exist: nothing to do."
        return
    fi
    check_rights remove keda.sh gateway.networking.k8s.io cert-manager.io rabbitmq.com \
        "${unused[@]}"
    [ -z "$dry_run" ] || say "would delete:"
    # First what accepts requests, then what finishes accepted work, then the servers.
    routes=$(custom gateway.networking.k8s.io/v1 httproutes)
    scalers=$(custom keda.sh/v1alpha1 scaledobjects triggerauthentications)
    remove "ingresses,horizontalpodautoscalers$routes$scalers" "$part"
    remove deployments "$part,app.kubernetes.io/name in (nginx,fastapi-api)"
    remove deployments \
        "$part,app.kubernetes.io/name notin (otel-collector),fastapi-starter/role notin (service)"
    remove deployments "$part"
    [ -n "$dry_run" ] || release_rabbitmq
    remove statefulsets,jobs "$part"
    issued=$(custom cert-manager.io/v1 certificates issuers)
    remove "services,configmaps,serviceaccounts,poddisruptionbudgets,networkpolicies$issued" "$part"
    if [ -n "$delete_data" ]; then
        # The volumes of a RabbitmqCluster go with it.
        clusters=$(custom rabbitmq.com/v1beta1 rabbitmqclusters)
        remove "persistentvolumeclaims,secrets$clusters" "$part"
    else
        say "Volumes and secrets are kept; --delete-data removes them."
    fi
    say "Done. The namespace stays: kubectl delete namespace $namespace"
}

main "$@"
