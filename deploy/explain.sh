# shellcheck shell=bash
# What kubectl-setup.sh and kubectl-remove.sh say when something does not end.
# shellcheck disable=SC2154  # they set these: namespace, context, part

# Shows why a workload is not ready: its own pods, events and logs, and no others.
explain() { # kind, name
    local selector=app.kubernetes.io/name=$2 pod
    {
        say ""
        say "--- $1/$2: pods"
        n get pods -l "$selector" -o wide
        say "--- $1/$2: events"
        # shellcheck disable=SC2046  # one word for each object
        events_of "$1/$2" $(n get pods,replicasets,persistentvolumeclaims \
            -l "$selector" -o name | sed 's|\.apps/|/|')
        for pod in $(unready_pods "$selector"); do explain_pod "$pod"; done
        say ""
    } >&2 || true
}

events_of() { # kind/name ...
    n get events --sort-by=.metadata.creationTimestamp -o 'jsonpath={range .items[*]}{.involvedObject.kind}{"/"}{.involvedObject.name}{"\t"}{.type}{"\t"}{.count}{"\t"}{.reason}{"\t"}{.message}{"\n"}{end}' |
        awk -F '\t' -v wanted="$*" '
            BEGIN { count = split(wanted, list, " "); while (count) own[list[count--]] }
            {
                split($1, object, "/")
                if (tolower(object[1]) "/" object[2] in own) print
            }
        ' | tail -n 20
}

# Prints the first three pods that are not ready; healthy ones have nothing to tell.
unready_pods() { # selector
    n get pods -l "$1" -o 'jsonpath={range .items[*]}{.metadata.name}{" "}{.status.conditions[?(@.type=="Ready")].status}{"\n"}{end}' |
        awk '$2 != "True" && shown < 3 { print $1; shown++ }'
}

# The states and logs of its containers; also the log before the last restart.
explain_pod() { # pod
    local states name restarts state kind
    states=$(for kind in initContainerStatuses containerStatuses; do
        n get pod "$1" -o "jsonpath={range .status.${kind}[*]}"'{.name}{" "}{.restartCount}{" "}{.state.waiting.reason}{" "}{.state.waiting.message}{.state.terminated.reason}{" "}{.lastState.terminated.reason}{" "}{.lastState.terminated.exitCode}{"\n"}{end}'
    done)
    while read -r name restarts state; do
        [ -n "$name" ] || continue # the pod has no container yet
        say "--- pod/$1: container $name, $restarts restarts $state"
        n logs "$1" -c "$name" --tail=20
        [ "$restarts" = 0 ] || {
            say "--- pod/$1: container $name, before its last restart"
            n logs "$1" -c "$name" --tail=20 --previous
        }
    done <<<"$states"
}

# Names what is being deleted and still exists, what it waits for, and what to do.
explain_remaining() { # kinds
    local kind name finalizers
    n get "$1,pods" -l "$part" -o 'jsonpath={range .items[?(@.metadata.deletionTimestamp)]}{.kind}{" "}{.metadata.name}{" "}{.metadata.finalizers[*]}{"\n"}{end}' |
        while read -r kind name finalizers; do
            explain_finalizers "${kind,,}/$name" "$finalizers"
        done
}

explain_finalizers() { # kind/name, its finalizers
    local by lost others=" $2 "
    # `kubectl delete` adds foregroundDeletion to those that an operator has set.
    others=${others/ foregroundDeletion / } others=${others# } others=${others% }
    set -- "$1" "${others:-$2}"
    case $2 in
    "")
        say "* $1 is stopping. If its node is down, it waits for the node: kubectl get nodes"
        return
        ;;
    foregroundDeletion | orphan)
        say "* $1 waits for its pods, then for Kubernetes' own controller manager"
        return
        ;;
    kubernetes.io/pv*-protection)
        say "* $1 waits until no pod uses it: kubectl -n $namespace get pods"
        return
        ;;
    *finalizer.keda.sh*)
        by="KEDA's operator (deployment keda-operator, in most clusters in namespace keda)"
        lost="nothing that lasts; its autoscaler goes too, and a KEDA that starts again finds no ScaledObject"
        ;;
    *rabbitmqclusters.rabbitmq.com*)
        by="RabbitMQ's Cluster Operator (deployment rabbitmq-cluster-operator, namespace rabbitmq-system)"
        lost="RabbitMQ's pods do not learn that all of them stop; each may wait 12 minutes for the others"
        ;;
    *)
        by="the controller that set it"
        lost="whatever that controller would have cleaned up, such as a load balancer"
        ;;
    esac
    say "* $1 has the finalizer $2, which only $by removes."
    say "  Start that. If it is gone for good, remove the finalizer yourself:"
    say "    kubectl --context $context -n $namespace patch $1 --type merge -p '{\"metadata\":{\"finalizers\":null}}'"
    say "  This loses $lost."
}
