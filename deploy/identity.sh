# shellcheck shell=bash
# The AUTH_... settings of kubectl-setup.sh, and what they need.
# shellcheck disable=SC2154  # it sets these: root, environment

identity=() given=()

# Sets `identity`, pairs of name and value: those `given` in this run's environment; if
# there are none, those of an earlier run. backend-config.env has the rest.
read_identity() {
    local names name value stored=""
    names=$(sed -n 's/^\(AUTH_[A-Z_]*\)=.*/\1/p' "$root/backend/backend-config.env")
    for name in $names; do [ -z "${!name:-}" ] || given+=("$name" "${!name}"); done
    [ ${#given[@]} -gt 0 ] || ! has_secret identity-settings || stored=1
    for name in $names; do
        value=${!name:-}
        [ -z "$stored" ] || value=$(secret_value identity-settings "$name")
        [ -n "$value" ] ||
            value=$(sed -n "s/^$name=//p" "$root/backend/backend-config.env")
        case $value in *$'\n'*) fail "$name must be one line" ;; esac
        [ -z "$value" ] || identity+=("$name" "$value")
    done
}

auth() { # NAME: its value
    local place
    for ((place = 0; place < ${#identity[@]}; place += 2)); do
        [ "${identity[place]}" != "$1" ] || printf %s "${identity[place + 1]}"
    done
}

# Says what the pods would refuse, before anything is changed.
check_identity() {
    local issuer disabled
    issuer=$(auth AUTH_ISSUER) disabled=$(auth AUTH_DISABLED)
    case $issuer in
    "")
        [ "$environment" = development ] || [ "${disabled,,}" = true ] ||
            fail "production needs an identity provider: set AUTH_ISSUER and" \
                "AUTH_AUDIENCE, or AUTH_DISABLED=true if everybody may do everything"
        return
        ;;
    https://?*) ;;
    *) fail "AUTH_ISSUER must begin with https://" ;;
    esac
    [ -n "$(auth AUTH_AUDIENCE)" ] ||
        fail "AUTH_AUDIENCE: name the audience of this API's tokens"
    [ "${disabled,,}" != true ] || fail "remove AUTH_DISABLED, or AUTH_ISSUER"
}

# The API fetches the provider's keys, and nothing else from outside.
identity_patch() {
    local place port=443
    place=$(auth AUTH_ISSUER)
    [ -n "$place" ] || return 0
    place=${place#https://} place=${place%%/*}
    [[ ! $place =~ :([0-9]+)$ ]] || port=${BASH_REMATCH[1]}
    echo "  - target: {kind: NetworkPolicy, name: fastapi-api}"
    echo "    patch: |"
    echo "      - {op: add, path: /spec/egress/-, value: {to: [{ipBlock: {cidr: 0.0.0.0/0}}, {ipBlock: {cidr: '::/0'}}], ports: [{protocol: TCP, port: $port}]}}"
}
