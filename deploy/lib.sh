# shellcheck shell=bash
# Functions of kubectl-setup.sh and kubectl-remove.sh, which set these variables:
# shellcheck disable=SC2154
# root, context, namespace, work, yes, dry_run

say() { printf '%s\n' "$*" >&2; }
note() { say "note: $*"; }
fail() {
    say "error: $*"
    exit 1
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
    command -v kubectl >/dev/null || fail "kubectl is not on PATH"
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

has_crd() { k get crd "$1" >/dev/null 2>&1; }
has_secret() { n get secret "$1" >/dev/null 2>&1; }
secret_value() { # secret, key; nothing if it is not there
    n get secret "$1" -o "jsonpath={.data.$2}" 2>/dev/null | base64 -d || true
}

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

# Shows why a workload is not ready: its pods, their events, the end of their logs.
explain() { # value of app.kubernetes.io/name
    local selector=app.kubernetes.io/name=$1
    {
        say ""
        say "--- $1: pods"
        n get pods -l "$selector" -o wide
        say "--- $1: events"
        n describe pods -l "$selector" | sed -n '/^Events:/,$p' | tail -n 20
        n get events --field-selector type=Warning --sort-by=.lastTimestamp | tail -n 10
        say "--- $1: log"
        n logs -l "$selector" --all-containers --tail=20 --prefix
        say ""
    } >&2 || true
}
