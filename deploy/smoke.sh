# shellcheck shell=bash
# kubectl-setup.sh --check: a Job in the cluster asks for each promise once.
# shellcheck disable=SC2154  # it sets these: root, namespace, timeout, check_token

smoke_test() {
    local image state="" deadline table
    image=$(n get deployment fastapi-api \
        -o 'jsonpath={.spec.template.spec.containers[0].image}') ||
        fail "no API runs in namespace $namespace"
    mkdir -p "$root/.local"
    work=$(mktemp -d "$root/.local/deploy.XXXXXX")
    trap 'forget_smoke_test; rm -rf "$work"' EXIT
    chmod 700 "$work"
    forget_smoke_test
    [ -z "$check_token" ] || create_secret smoke-test token "$(cat "$check_token")"
    smoke_kustomization "$image" >"$work/kustomization.yaml"
    kubectl kustomize "$work" >"$work/smoke.yaml" || fail "kustomize failed"
    n apply -f "$work/smoke.yaml" >/dev/null || fail "the check could not be started"
    deadline=$((SECONDS + timeout))
    while [ $SECONDS -lt $deadline ]; do
        state=$(n get job smoke-test \
            -o 'jsonpath={.status.conditions[?(@.status=="True")].type}') || true
        case $state in
        *Complete* | *Failed*) break ;;
        esac
        sleep 1
    done
    table=$(n logs -l app.kubernetes.io/name=smoke-test --tail=-1) || true
    printf '%s\n' "$table"
    case $state in
    *Complete*) return ;;
    esac
    [[ $table == *promise* ]] || explain smoke-test
    fail "the check did not succeed"
}

smoke_kustomization() { # image
    local url=http://nginx:8080 arguments='python, -m, app.smoke' ids
    if [ "$(n get service nginx -o 'jsonpath={.spec.ports[0].appProtocol}')" = https ]; then
        url=https://nginx:8080
        arguments+=', --ca-file, /tls/ca.crt'
    fi
    [ -z "$check_token" ] || arguments+=', --token-file, /run/secrets/token'
    echo "namespace: $namespace"
    echo "components: [../../deploy/smoke]"
    echo "patches:"
    echo "  - target: {kind: Job}"
    echo "    patch: |"
    echo "      - {op: replace, path: /spec/template/spec/containers/0/image, value: \"$1\"}"
    echo "      - {op: replace, path: /spec/template/spec/containers/0/args, value: [$arguments, \"$url\"]}"
    # OpenShift chooses the ids of the API's pods, and of these.
    ids=$(n get deployment fastapi-api \
        -o 'jsonpath={.spec.template.spec.securityContext.runAsUser}')
    [ -n "$ids" ] || for ids in runAsUser runAsGroup fsGroup; do
        echo "      - {op: remove, path: /spec/template/spec/securityContext/$ids}"
    done
}

forget_smoke_test() {
    local kind
    for kind in job secret networkpolicy serviceaccount; do
        n delete "$kind" smoke-test --ignore-not-found --wait=true >/dev/null || true
    done
}
