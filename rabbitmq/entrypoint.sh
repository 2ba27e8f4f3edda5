#!/usr/bin/env bash
# Starts RabbitMQ. Before that it writes what RabbitMQ imports: definitions.json, with
# the users that its permissions name, and their passwords.
#
#   RABBITMQ_DEFAULT_USER, RABBITMQ_DEFAULT_PASS         for API and worker: `api` in
#                                                        definitions.json
#   DATA_RABBITMQ_PASSWORD                               for the user `data`, and so on
#   RABBITMQ_MANAGEMENT_USER, RABBITMQ_MANAGEMENT_PASS   an administrator, for people;
#                                                        without it there is none
#   ERLANG_COOKIE                                        the same for all nodes of a
#                                                        cluster
#
# A variable with _FILE at its end names a file with the password instead. In the folder
# RABBITMQ_PASSWORD_FOLDER, each user of definitions.json has a file. RabbitMQ creates
# no default user when it imports definitions.
set -euo pipefail
definitions=${RABBITMQ_DEFINITIONS:-/etc/rabbitmq/definitions.json}

give_up() {
    echo "entrypoint.sh: $1" >&2
    exit 1
}

password() { # NAME: the value of NAME, or the content of the file NAME_FILE
    local file="${1}_FILE"
    if [[ -n ${!file:-} ]]; then cat "${!file}"; else printf '%s' "${!1:-}"; fi
}

password_of() { # USER
    local file=${RABBITMQ_PASSWORD_FOLDER:-/nowhere}/$1
    if [[ -e $file ]]; then cat "$file"; else password "${1^^}_RABBITMQ_PASSWORD"; fi
}

quoted() { # TEXT: as a JSON string
    local text=${1//\\/\\\\}
    printf '"%s"' "${text//\"/\\\"}"
}

user() { # NAME PASSWORD TAGS
    [[ $1$2 != *[[:cntrl:]]* ]] || give_up "users and passwords must be plain text"
    printf '{"name": %s, "password": %s, "tags": "%s"}' \
        "$(quoted "$1")" "$(quoted "$2")" "$3"
}

named_users() { sed -n 's/.*"user": "\([^"]*\)".*/\1/p' "$definitions" | sort -u; }

write_definitions() { # FILE
    local name pass admin admin_pass each tags users text
    name=${RABBITMQ_DEFAULT_USER:-}
    pass=$(password RABBITMQ_DEFAULT_PASS)
    [[ -n $name && -n $pass ]] ||
        give_up "set RABBITMQ_DEFAULT_USER and RABBITMQ_DEFAULT_PASS"
    users=$(user "$name" "$pass" "")
    for each in $(named_users); do
        [[ $each != api ]] || continue
        pass=$(password_of "$each")
        [[ -n $pass ]] || give_up "the user $each has no password: set \
${each^^}_RABBITMQ_PASSWORD"
        tags=
        [[ $each != monitoring ]] || tags=monitoring # to read the depth of the queues
        users+=", $(user "$each" "$pass" "$tags")"
    done
    text=$(<"$definitions")
    text=${text//'"user": "api"'/"\"user\": $(quoted "$name")"}
    admin=${RABBITMQ_MANAGEMENT_USER:-}
    if [[ -n $admin ]]; then
        admin_pass=$(password RABBITMQ_MANAGEMENT_PASS)
        [[ -n $admin_pass ]] || give_up "RABBITMQ_MANAGEMENT_USER has no password"
        users+=", $(user "$admin" "$admin_pass" administrator)"
        text=${text/'"permissions": ['/"\"permissions\": [{\"user\": $(quoted "$admin"),
            \"vhost\": \"/\", \"configure\": \".*\", \"write\": \".*\", \"read\": \".*\"},"}
    fi
    umask 077
    printf '{"users": [%s],%s\n' "$users" "${text#*\{}" >"$1"
}

write_cookie() { # RabbitMQ's own variable for it is deprecated
    local cookie
    cookie=$(password ERLANG_COOKIE)
    [[ -n $cookie ]] || return 0
    rm -f ~/.erlang.cookie
    (umask 377 && printf '%s' "$cookie" >~/.erlang.cookie)
}

if [[ ${1:-} == definitions ]]; then # for the Cluster Operator
    write_definitions "$2"
    exit
fi
if [[ ${1:-} == rabbitmq-server ]]; then
    write_definitions /tmp/definitions.json
    write_cookie
fi
for each in $(named_users); do unset "${each^^}_RABBITMQ_PASSWORD"; done
unset "${!RABBITMQ_DEFAULT_@}" "${!RABBITMQ_MANAGEMENT_@}" \
    "${!ERLANG_COOKIE@}"

# Erlang must be process 1, so that SIGTERM reaches it. Debian's package puts a wrapper
# on the PATH, which would stay in between. Other systems do not have this folder.
export PATH=/usr/lib/rabbitmq/bin:$PATH RUNNING_UNDER_SYSTEMD=true
exec docker-entrypoint.sh "$@"
