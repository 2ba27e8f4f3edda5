# shellcheck shell=bash
# Functions of kubectl-setup.sh and kubectl-remove.sh, which set these variables:
# shellcheck disable=SC2034,SC2154
# root, context, namespace, timeout, yes, dry_run

part=app.kubernetes.io/part-of=fastapi-starter

say() { printf '%s\n' "$*" >&2; }
note() { say "note: $*"; }
fail() {
    say "error: $*"
    exit 1
}

make_work() { # a private folder; inside of the project, because Kustomize wants that
    mkdir -p "$root/.local"
    work=$(mktemp -d "$root/.local/deploy.XXXXXX")
    trap 'rm -rf "$work"' EXIT
}

k() { kubectl ${context:+--context "$context"} "$@"; }
n() { k --namespace "$namespace" "$@"; }

check_name() { # value, option
    [[ $1 =~ ^[a-z0-9]([-a-z0-9]{0,61}[a-z0-9])?$ ]] || fail "$2: invalid name: $1"
}

check_number() { # value, option
    [[ $1 =~ ^[1-9][0-9]{0,5}$ ]] || fail "$2: invalid number: $1"
}

choose_context() { # what the script will do
    local program
    for program in kubectl python3; do
        command -v $program >/dev/null || fail "$program is not on PATH"
    done
    [ -n "$context" ] || context=$(kubectl config current-context 2>/dev/null) ||
        fail "kubectl has no current context: name one with --context"
    say "$1"
    say "Context: $context"
    if [ -n "$yes$dry_run" ]; then return; fi
    [ -t 0 ] || fail "no terminal to confirm the context: use --yes"
    local answer
    read -r -p "Go on? [y/N] " answer
    [[ $answer =~ ^[yY] ]] || fail "nothing was changed"
}

cluster_version() {
    local version
    version=$(k get --raw /version) || fail "the cluster does not answer"
    sed -n 's/.*"gitVersion": *"v\([0-9]*\.[0-9]*\)[^"]*".*/\1/p' <<<"$version"
}

is_at_least_1_31() { # 1.31
    [[ $1 =~ ^([0-9]+)\.([0-9]+)$ ]] || return 1
    ((BASH_REMATCH[1] > 1 || BASH_REMATCH[2] >= 31))
}

# --- What the cluster has. A read that is forbidden, or gets no answer, never means no.

# Whether the cluster has a resource. Asks discovery, which every user may.
has_api() { # group/version, resource
    local found
    if found=$(k get --raw "/apis/$1" 2>"$work/error"); then
        [[ $found =~ \"name\":\ *\"$2\" ]]
        return
    fi
    grep -q '(NotFound)' "$work/error" ||
        fail "the cluster does not say whether it has $2 ($1): $(cat "$work/error")"
    return 1
}

# Reads into `answer` what a user of one namespace may not see; false if so.
may_read() { # kind, what is not known then, arguments of get
    local kind=$1 unknown=$2
    shift 2
    if answer=$(n get "$kind" "$@" 2>"$work/error"); then return; fi
    grep -q '(Forbidden)' "$work/error" || fail "$kind: $(cat "$work/error")"
    note "cannot be read with your rights: $kind; $unknown is not checked"
    return 1
}

has_secret() {
    local found
    found=$(n get secret "$1" -o name --ignore-not-found) ||
        fail "the secret $1 cannot be read"
    [ -n "$found" ]
}

secret_value() { # secret, key; nothing if it is not there
    local value
    value=$(n get secret "$1" -o "jsonpath={.data.$2}" --ignore-not-found) ||
        fail "the secret $1 cannot be read"
    base64 -d <<<"$value"
}

# Stops if the user lacks a right of the script's Role.
check_rights() { # role, then API groups and resources that this run does not use
    local role=deploy/rights/$1.yaml missing
    shift
    printf '{"apiVersion": "authorization.k8s.io/v1", "kind": %s, "spec": {"namespace": "%s"}}' \
        '"SelfSubjectRulesReview"' "$namespace" >"$work/review"
    k create --raw /apis/authorization.k8s.io/v1/selfsubjectrulesreviews \
        -f "$work/review" >"$work/rights" || fail "the cluster does not list your rights"
    missing=$(cd "$root" && python3 -m deploy.missing_rights "$role" "$@" <"$work/rights")
    [ -z "$missing" ] || fail "you lack these rights in namespace $namespace:
$missing
The Role in $role has them; docs/DEPLOYMENT.md says how to bind it."
}

# Deletes, waits, and says after half a minute what an object waits for.
erase() { # kinds, then names, or -l and a selector
    local seconds answered started=$SECONDS
    : >"$work/printed"
    for seconds in $((timeout < 30 ? timeout : 30)) $((timeout - 30)); do
        [ "$seconds" -gt 0 ] || break
        # In the foreground: ends after the pods of a workload are gone.
        n delete "$@" --ignore-not-found --cascade=foreground --timeout="${seconds}s" \
            >"$work/deleted" 2>"$work/error" && answered=0 || answered=$?
        # The second call names again what the first one did.
        grep -vxF -e 'No resources found' -f "$work/printed" "$work/deleted" || true
        cp "$work/deleted" "$work/printed"
        [ $answered -ne 0 ] || return 0
        grep -q 'timed out' "$work/error" ||
            fail "$(cat "$work/error"); fix the cause and run this again"
        say "after $((SECONDS - started)) s, these still exist:"
        explain_remaining "$1" || true
    done
    fail "some objects still exist; when nothing holds them any more, run this again"
}

# Waits until a Job ends, and sets `state`: Complete or Failed; neither if time is up.
await_job() { # name
    local deadline=$((SECONDS + timeout))
    state=""
    while [ $SECONDS -lt $deadline ]; do
        state=$(n get job "$1" \
            -o 'jsonpath={.status.conditions[?(@.status=="True")].type}') || true
        case $state in *Complete* | *Failed*) return ;; esac
        sleep 1
    done
}
