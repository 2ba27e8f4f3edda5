# shellcheck shell=bash
# The secrets of kubectl-setup.sh: made once, kept, completed, never printed.
# shellcheck disable=SC2154  # it sets these: work, part, namespace, tls, redis, ..._url

# What the users of the cluster's own Redis may do; docker-compose.yml says the same.
tasks_rules="~* &* +@all -@admin -@dangerous +info"
keys_rules="~*idempotency:* +@read +@write +@scripting +@connection -@dangerous +time"

# Letters and digits only, because URLs and configuration files contain the result.
random() {
    local bytes
    bytes=$(od -An -N24 -tx1 /dev/urandom)
    printf %s "${bytes//[[:space:]]/}"
}

# Prints the pairs as JSON. Values go to kubectl in files, because other users can see
# the arguments of a process; and only whole secrets are created, with their label.
secret_data() { # pairs of key and value
    local data="" value
    while [ $# -gt 0 ]; do
        value=$(printf %s "$2" | base64)
        data+="${data:+, }\"$1\": \"${value//$'\n'/}\""
        shift 2
    done
    printf '{%s}' "$data"
}

create_secret() { # name, then pairs of key and value
    local name=$1
    shift
    printf '{"apiVersion": "v1", "kind": "Secret", "metadata": {"name": "%s", "labels": {"%s": "%s"}}, "data": %s}' \
        "$name" "${part%=*}" "${part#*=}" "$(secret_data "$@")" >"$work/secret.json"
    n create -f "$work/secret.json" >/dev/null || fail "creating the secret $name failed"
    report "secret/$name created"
}

change_secret() { # name, type of patch, patch
    local result
    printf %s "$3" >"$work/secret.json"
    result=$(n patch secret "$1" --type "$2" --patch-file "$work/secret.json") ||
        fail "changing the secret $1 failed"
    [[ $result == *"(no change)"* ]] || report "secret/$1 configured"
}

# Replaces all keys of a secret in one step: pods that start meanwhile find it.
replace_secret() { # arguments of create_secret
    local name=$1
    if ! has_secret "$name"; then
        create_secret "$@"
        return
    fi
    shift
    change_secret "$name" json \
        "[{\"op\": \"add\", \"path\": \"/data\", \"value\": $(secret_data "$@")}]"
}

# Creates a secret, or adds keys that it lacks: those of a new service, of a release.
complete_secret() { # name, then pairs of key and value
    local name=$1 value lacking=()
    if ! has_secret "$name"; then
        create_secret "$@"
        return
    fi
    shift
    while [ $# -gt 0 ]; do
        value=$(secret_value "$name" "$1")
        [ -n "$value" ] || lacking+=("$1" "$2")
        shift 2
    done
    [ ${#lacking[@]} -eq 0 ] ||
        change_secret "$name" merge "{\"data\": $(secret_data "${lacking[@]}")}"
}

make_secrets() {
    umask 077
    make_rabbitmq_secrets
    make_database_secret
    make_service_databases
    make_redis_secrets
    [ ${#given[@]} -eq 0 ] || replace_secret identity-settings "${given[@]}"
}

make_rabbitmq_secrets() {
    local password each users=(monitoring-username monitoring)
    if ! has_secret rabbitmq-credentials; then
        password=$(random)
        # Name and password are for the Cluster Operator's own user.
        create_secret rabbitmq-credentials username app password "$password" \
            default_user.conf "default_user = app
default_pass = $password" \
            erlang-cookie "$(random)" \
            management-url "http://rabbitmq.$namespace.svc:15672/"
    fi
    [ -z "$tls" ] || replace_secret rabbitmq-keda-tls tls enable \
        management-url "https://rabbitmq.$namespace.svc:15672/"
    for each in api monitoring $(service_users); do users+=("$each" "$(random)"); done
    complete_secret rabbitmq-users "${users[@]}"
}

make_database_secret() {
    local owner own url
    if [ -n "$database_url" ]; then
        replace_secret database-credentials url "$(cat "$database_url")" \
            migrations-url "$(cat "${migrations_url:-$database_url}")"
    elif has_secret database-credentials; then # perhaps of a release with one role
        url=$(secret_value database-credentials url)
        complete_secret database-credentials migrations-url "$url"
    else
        owner=$(random) own=$(random)
        create_secret database-credentials password "$owner" \
            migrations-url "postgresql+psycopg2://fastapi:$owner@postgres:5432/fastapi_db" \
            url "postgresql+psycopg2://app:$own@postgres:5432/fastapi_db"
    fi
}

# Each service has a role and a password of its own; migrations make the role.
make_service_databases() {
    local each url password urls=()
    url=$(secret_value database-credentials url)
    for each in $(services_with_events); do
        password=$(secret_value service-databases "$each" | sed 's|.*://[^:]*:||; s|@.*||')
        urls+=("$each" "$(printf %s "$url" |
            sed -E "s|://([^@/]*@)?|://$each:${password:-$(random)}@|")")
    done
    [ ${#urls[@]} -eq 0 ] || replace_secret service-databases "${urls[@]}"
}

make_redis_secrets() {
    local password sentinels=()
    [ -z "${monitoring[8]:-}" ] || sentinels=(sentinel-master "${monitoring[8]}")
    [ -z "${monitoring[9]:-}" ] || sentinels+=(sentinel-username "${monitoring[9]}")
    [ -z "${monitoring[10]:-}" ] || sentinels+=(sentinel-password "${monitoring[10]}")
    if [ -n "$redis_url" ]; then
        replace_secret redis-credentials url "$(cat "$redis_url")" \
            username "${monitoring[0]}" password "${monitoring[1]}" \
            address "${redis[2]}" tls "${redis[3]}" "${sentinels[@]}"
    elif ! has_secret redis-credentials; then
        password=$(random)
        create_secret redis-credentials username "" password "$password" tls disable \
            url "redis://:$password@redis:6379/0" \
            redis.conf "user default on >$password $tasks_rules" \
            address "redis.$namespace.svc:6379"
    elif [ ${#sentinels[@]} -gt 0 ]; then # perhaps of a release without them
        complete_secret redis-credentials address "${redis[2]}" "${sentinels[@]}"
    fi
    if [ -n "$redis_keys_url" ]; then
        replace_secret redis-keys-credentials url "$(cat "$redis_keys_url")"
    elif ! has_secret redis-keys-credentials; then
        password=$(random)
        create_secret redis-keys-credentials password "$password" \
            url "redis://:$password@redis-keys:6379/0" \
            redis.conf "user default on >$password $keys_rules"
    fi
}
