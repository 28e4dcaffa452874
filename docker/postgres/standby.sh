#!/usr/bin/env bash
# Entry point of a standby: on an empty volume a base backup of UPSTREAM, then PostgreSQL as its hot standby.
# Runs as user postgres; PGPASSWORD is the replication role's, and pg_basebackup keeps it in primary_conninfo.
set -euo pipefail

if [ ! -s "$PGDATA/PG_VERSION" ]; then
    until pg_basebackup --pgdata="$PGDATA" --wal-method=stream --checkpoint=fast --write-recovery-conf \
        --dbname="host=$UPSTREAM port=${UPSTREAM_PORT:-5432} user=replicator application_name=$NODE"; do
        echo "$NODE: no base backup from $UPSTREAM yet, trying again" >&2
        find "$PGDATA" -mindepth 1 -delete
        sleep 1
    done
    chmod 700 "$PGDATA"
fi

exec postgres -D "$PGDATA" -c listen_addresses='*' -c wal_keep_size=256MB -c cluster_name="$NODE"
