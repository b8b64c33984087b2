#!/bin/bash
# As the official image: the first start creates the database, its user and its password.
set -euo pipefail
if [ ! -s "$PGDATA/PG_VERSION" ]; then
    : "${POSTGRES_PASSWORD:?the database needs a password}"
    initdb --username="$POSTGRES_USER" --pwfile=<(echo "$POSTGRES_PASSWORD") \
        --auth-local=trust --auth-host=scram-sha-256 --encoding=UTF8 >/dev/null
    echo "host all all all scram-sha-256" >>"$PGDATA/pg_hba.conf"
    postgres --single -j postgres <<<"CREATE DATABASE \"$POSTGRES_DB\"" >/dev/null
fi
exec postgres -c listen_addresses='*'
