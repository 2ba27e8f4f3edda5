#!/bin/sh
# Makes the owner of the tables, and its database, on the first primary. Patroni gives
# the URL of its own user.
set -eu
# There are no replicas yet that could confirm.
PGOPTIONS="-c synchronous_commit=local" psql --quiet --no-psqlrc -v ON_ERROR_STOP=1 \
    -v password="$POSTGRES_PASSWORD" "$1" <<'END'
CREATE ROLE fastapi LOGIN CREATEROLE PASSWORD :'password';
CREATE DATABASE fastapi_db OWNER fastapi;
END
