#!/bin/sh
# Backs up PostgreSQL with its own tools, and restores it to any moment since the oldest
# base backup.
#
#   backup.sh base            copy the whole server, and check the copy
#   backup.sh wal             receive what is written from now on, until it is stopped
#   backup.sh wal-so-far      receive what was written until now
#   backup.sh restore [TIME]  fill $PGDATA, and put aside what it has: until TIME
#                             (2026-11-27T03:04:05Z), or as far as the WAL was received;
#                             then start PostgreSQL
#   backup.sh finish          wait until the started PostgreSQL has restored everything
#
# $SERVER is libpq's connection string of the server, with a superuser. $BACKUPS/ has a
# folder for each history. A restore ends one, and the next backup begins another:
#
#   20261127T030405Z/base/20261127T030407Z/  a base backup, named by its end
#   20261127T030405Z/wal/                    what was written since the first one began
set -eu
umask 077

KEEP=${KEEP:-7} # base backups
SLOT=backup     # keeps WAL on the server until it is received

fail() {
    echo "backup.sh: $*" >&2
    exit 1
}

now() { date -u +%Y%m%dT%H%M%SZ; }

# $1 and the time. A name is used once: mv would move into a folder that exists.
unused() {
    name=$1$(now)
    while [ -e "$name" ]; do
        sleep 1
        name=$1$(now)
    done
    echo "$name"
}

newest_history() {
    # The names are times, and the shell sorts them.
    for history in "$BACKUPS"/*T*Z; do :; done
    echo "$history"
}

begin_history() {
    # The server has deleted WAL that was not received for too long
    # (max_slot_wal_keep_size): what follows does not continue what is there.
    lost="FROM pg_replication_slots WHERE slot_name = '$SLOT' AND wal_status = 'lost'"
    is_lost=$(query "SELECT true $lost")
    if [ -n "$is_lost" ] || [ ! -d "$(newest_history)" ]; then
        mkdir -p "$(unused "$BACKUPS/")"
        query "SELECT pg_drop_replication_slot(slot_name) $lost" >/dev/null
    fi
}

use_history() {
    history=$(newest_history)
    mkdir -p "$history/base" "$history/wal"
    pg_receivewal --dbname="$SERVER" --slot="$SLOT" --create-slot --if-not-exists
}

query() { psql --no-psqlrc --quiet --tuples-only --no-align --dbname="$SERVER" -c "$1"; }

base() {
    begin_history
    use_history
    partial=$history/base/partial
    rm -rf "$partial"
    pg_basebackup --dbname="$SERVER" --pgdata="$partial" --checkpoint=fast
    ${VERIFY:-pg_verifybackup --quiet} "$partial"
    backup=$(unused "$history/base/")
    mv "$partial" "$backup"
    for old in $(ls "$history/base" | sort -r | tail -n "+$((KEEP + 1))"); do
        rm -rf "${history:?}/base/$old"
    done
    for oldest in "$history"/base/*; do break; done
    first=$(sed -n 's/^START WAL LOCATION: .*(file \(.*\))$/\1/p' "$oldest/backup_label")
    pg_archivecleanup "$history/wal" "$first"
    echo "$backup"
}

receive() {
    pg_receivewal --dbname="$SERVER" --slot="$SLOT" --directory="$history/wal" \
        --synchronous --no-loop "$@"
}

restore() {
    # Without what a file name, and a comparison of texts, cannot have.
    moment=$(echo "${1:-9}" | tr -d ':-' | cut -c 1-15)
    case ${1:-} in
    "" | [0-9][0-9][0-9][0-9]-[0-9][0-9]-[0-9][0-9]T[0-9][0-9]:[0-9][0-9]:[0-9][0-9]*Z) ;;
    *) fail "write the time in UTC, as 2026-11-27T03:04:05Z" ;;
    esac
    found=
    for backup in "$BACKUPS"/*T*Z/base/*T*Z; do
        name=$(basename "$backup" Z)
        # The seconds of a name are cut off, so an equal one may be too late.
        if [ -d "$backup" ] && expr "x$name" \< "x$moment" >/dev/null; then
            found=$backup
        fi
    done
    [ -n "$found" ] || fail "$BACKUPS has no base backup${1:+ before $1}"
    # Not before it is known that something can take its place.
    if [ -n "$(ls -A "$PGDATA" 2>/dev/null)" ]; then
        aside=$(unused "$PGDATA.before-")
        mv "$PGDATA" "$aside" || fail "$PGDATA is not empty: use a new volume"
        echo "Put aside: $aside" >&2
    fi
    mkdir -p "$PGDATA"
    cp -Rp "$found/." "$PGDATA"
    # The server may run as a user who cannot read $BACKUPS.
    mkdir "$PGDATA/received_wal"
    for file in "${found%/base/*}"/wal/*; do
        [ ! -e "$file" ] || cp -p "$file" "$PGDATA/received_wal/$(basename "$file" .partial)"
    done
    cat >>"$PGDATA/postgresql.auto.conf" <<END
restore_command = 'cp received_wal/%f %p'
recovery_target_time = '${1:+${1%Z}+00}'
recovery_target_action = promote
hot_standby = off
END
    touch "$PGDATA/recovery.signal"
    mkdir "$(unused "$BACKUPS/")" # the restored server's own history
    echo "$found"
}

finish() {
    tries=0
    until query "SELECT" 2>/dev/null; do # it lets nobody in before the end
        tries=$((tries + 1))
        [ "$tries" -lt "${WAIT_SECONDS:-3600}" ] || fail "PostgreSQL does not serve"
        sleep 1
    done
    for setting in restore_command recovery_target_time recovery_target_action hot_standby; do
        query "ALTER SYSTEM RESET $setting"
    done
    rm -rf "${PGDATA:?}/received_wal"
    # Clients have seen numbers of events that are lost now, also after another restore
    # of the same backup. Later events must not get them: begin above all numbers that
    # 8,192 transactions a second could have used since 2026.
    psql --no-psqlrc --quiet --output=/dev/null --dbname="$SERVER" <<'END'
SELECT 'SELECT setval(''event_log_base'', greatest(last_value,
    extract(epoch FROM now() - ''2026-01-01Z''::timestamptz)::bigint << 33)) FROM event_log_base'
WHERE to_regclass('event_log_base') IS NOT NULL \gexec
END
}

case ${1:-} in
base) base ;;
wal)
    # WAL is of use with a base backup alone, which begins the first history.
    until [ -d "$(newest_history)" ]; do sleep 1; done
    use_history
    receive
    ;;
wal-so-far)
    use_history
    end=$(query "SELECT pg_current_wal_flush_lsn()")
    # So that something follows the end: it is not reached before.
    query "SELECT pg_create_restore_point('backup')" >/dev/null
    receive --endpos="$end"
    ;;
restore) restore "${2:-}" ;;
finish) finish ;;
*) fail "unknown command: see the head of this file" ;;
esac
