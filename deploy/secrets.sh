# shellcheck shell=bash
# The secrets of kubectl-setup.sh: made once, kept, completed, never printed.
# shellcheck disable=SC2154  # it sets these: work, namespace, tls, redis, ..._url

# What the users of the cluster's own Redis may do; docker-compose.yml says the same.
tasks_rules="~* &* +@all -@admin -@dangerous +info"
keys_rules="~*idempotency:* +@read +@write +@scripting +@connection -@dangerous +time"

# Letters and digits only, because URLs and configuration files contain the result.
random() { od -An -N24 -tx1 /dev/urandom | tr -d ' \n'; }

# Passes values in files, because other users can see the arguments of a process.
create_secret() { # name, then pairs of key and value
    local name=$1 arguments=()
    shift
    mkdir -p "$work/secret"
    while [ $# -gt 0 ]; do
        printf %s "$2" >"$work/secret/$1"
        arguments+=("--from-file=$work/secret/$1")
        shift 2
    done
    n create secret generic "$name" "${arguments[@]}" >/dev/null
    rm -rf "$work/secret"
    n label secret "$name" app.kubernetes.io/part-of=fastapi-starter >/dev/null
    say "created secret $name"
}

replace_secret() { # arguments of create_secret
    n delete secret "$1" --ignore-not-found >/dev/null
    create_secret "$@"
}

# Creates a secret, or adds keys that it lacks: those of a new service, of a release.
complete_secret() { # name, then pairs of key and value
    local name=$1 data=""
    has_secret "$name" || { create_secret "$@" && return; }
    shift
    while [ $# -gt 0 ]; do
        [ -n "$(secret_value "$name" "$1")" ] ||
            data+="${data:+, }\"$1\": \"$(printf %s "$2" | base64 -w 0)\""
        shift 2
    done
    [ -n "$data" ] || return 0
    printf '{"data": {%s}}' "$data" >"$work/patch"
    n patch secret "$name" --patch-file "$work/patch" >/dev/null
    rm "$work/patch"
    say "completed secret $name"
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
    local owner own
    if [ -n "$database_url" ]; then
        replace_secret database-credentials url "$(cat "$database_url")" \
            migrations-url "$(cat "${migrations_url:-$database_url}")"
    elif has_secret database-credentials; then # perhaps of a release with one role
        complete_secret database-credentials \
            migrations-url "$(secret_value database-credentials url)"
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
    local password
    if [ -n "$redis_url" ]; then
        replace_secret redis-credentials url "$(cat "$redis_url")" \
            username "${monitoring[0]}" password "${monitoring[1]}" \
            address "${redis[2]}" tls "${redis[3]}"
    elif ! has_secret redis-credentials; then
        password=$(random)
        create_secret redis-credentials username "" password "$password" tls disable \
            url "redis://:$password@redis:6379/0" \
            redis.conf "user default on >$password $tasks_rules" \
            address "redis.$namespace.svc:6379"
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
