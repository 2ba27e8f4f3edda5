#!/usr/bin/env bash
# Starts RabbitMQ. Before that it writes what RabbitMQ imports: definitions.json, and
# users from these variables.
#
#   RABBITMQ_DEFAULT_USER, RABBITMQ_DEFAULT_PASS         for API, worker and services
#   RABBITMQ_MANAGEMENT_USER, RABBITMQ_MANAGEMENT_PASS   for people, who read the
#                                                        management pages; without it,
#                                                        the first user is administrator
#
# Either password may come from a file: RABBITMQ_DEFAULT_PASS_FILE,
# RABBITMQ_MANAGEMENT_PASS_FILE. RabbitMQ creates no default user when it imports
# definitions.
set -euo pipefail

give_up() {
    echo "entrypoint.sh: $1" >&2
    exit 1
}

password() { # NAME: the value of NAME, or the content of the file NAME_FILE
    local file="${1}_FILE"
    if [[ -n ${!file:-} ]]; then cat "${!file}"; else printf '%s' "${!1:-}"; fi
}

quoted() { # TEXT: as a JSON string
    local text=${1//\\/\\\\}
    printf '"%s"' "${text//\"/\\\"}"
}

user() { # NAME PASSWORD TAGS
    printf '{"name": %s, "password": %s, "tags": %s}' \
        "$(quoted "$1")" "$(quoted "$2")" "$(quoted "$3")"
}

permission() { # NAME
    printf '{"user": %s, "vhost": "/", "configure": ".*", "write": ".*", "read": ".*"}' \
        "$(quoted "$1")"
}

write_definitions() {
    local name pass admin admin_pass= users permissions topology tags=administrator
    name=${RABBITMQ_DEFAULT_USER:-}
    pass=$(password RABBITMQ_DEFAULT_PASS)
    [[ -n $name && -n $pass ]] ||
        give_up "set RABBITMQ_DEFAULT_USER and RABBITMQ_DEFAULT_PASS"
    admin=${RABBITMQ_MANAGEMENT_USER:-}
    if [[ -n $admin ]]; then
        admin_pass=$(password RABBITMQ_MANAGEMENT_PASS)
        [[ -n $admin_pass ]] || give_up "RABBITMQ_MANAGEMENT_USER has no password"
        tags=monitoring # enough for the API to read the depth of the queues
    fi
    [[ $name$pass$admin$admin_pass != *[[:cntrl:]]* ]] ||
        give_up "users and passwords must be plain text"
    users=$(user "$name" "$pass" "$tags")
    permissions=$(permission "$name")
    if [[ -n $admin ]]; then
        users+=", $(user "$admin" "$admin_pass" administrator)"
        permissions+=", $(permission "$admin")"
    fi
    topology=$(</etc/rabbitmq/definitions.json)
    umask 077
    printf '{"users": [%s], "permissions": [%s],%s\n' \
        "$users" "$permissions" "${topology#*\{}" >/tmp/definitions.json
}

if [[ ${1:-} == rabbitmq-server ]]; then
    write_definitions
fi
unset "${!RABBITMQ_DEFAULT_@}" "${!RABBITMQ_MANAGEMENT_@}"

# Erlang must be process 1, so that SIGTERM reaches it. Debian's package puts a wrapper
# on the PATH, which would stay in between. Other systems do not have this folder.
export PATH=/usr/lib/rabbitmq/bin:$PATH RUNNING_UNDER_SYSTEMD=true
exec docker-entrypoint.sh "$@"
