# shellcheck shell=bash
# kubectl-setup.sh --check: a Job in the cluster asks for each promise once.
# shellcheck disable=SC2154  # it sets these: work, namespace, timeout, check_token

smoke_test() {
    local image state table
    choose_context "Check what runs in namespace $namespace"
    check_rights check
    image=$(n get deployment fastapi-api \
        -o 'jsonpath={.spec.template.spec.containers[0].image}') ||
        fail "no API runs in namespace $namespace"
    smoke_kustomization "$image" >"$work/kustomization.yaml"
    kubectl kustomize "$work" >"$work/smoke.yaml" || fail "kustomize failed"
    trap '(forget_smoke_test) || true; rm -rf "$work"' EXIT
    forget_smoke_test
    [ -z "$check_token" ] ||
        create_secret smoke-test token "$(cat "$check_token")" >/dev/null
    n apply --server-side --force-conflicts -f "$work/smoke.yaml" >/dev/null ||
        fail "the check could not be started"
    await_job smoke-test
    table=$(n logs job/smoke-test --tail=-1) || true
    printf '%s\n' "$table"
    case $state in
    *Complete*) return ;;
    esac
    [[ $table == *promise* ]] || explain job smoke-test
    fail "the check did not succeed"
}

smoke_kustomization() { # image
    local url=http://nginx:8080 arguments='python, -m, app.smoke' user
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
    user=$(n get deployment fastapi-api \
        -o 'jsonpath={.spec.template.spec.securityContext.runAsUser}')
    [ -n "$user" ] || for user in runAsUser runAsGroup fsGroup; do
        echo "      - {op: remove, path: /spec/template/spec/securityContext/$user}"
    done
}

forget_smoke_test() { erase jobs,secrets,networkpolicies,serviceaccounts smoke-test >/dev/null; }
