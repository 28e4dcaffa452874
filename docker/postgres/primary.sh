#!/usr/bin/env bash
# Run once by the image of the primary, when it makes its data directory: the roles, and who may replicate.
# The standbys get all of it with their base backup, pg_hba.conf included.
set -euo pipefail

psql -X -v ON_ERROR_STOP=1 --username "$POSTGRES_USER" --dbname postgres \
    -v replication="$REPLICATION_PASSWORD" -v app="$APP_PASSWORD" -v admin="$ADMIN_PASSWORD" <<'SQL'
CREATE ROLE replicator LOGIN REPLICATION PASSWORD :'replication';
CREATE ROLE app LOGIN PASSWORD :'app';
CREATE ROLE admin LOGIN PASSWORD :'admin';
CREATE DATABASE app OWNER app;
SQL

# The image's own line for `host all` does not cover replication.
echo "host replication replicator all scram-sha-256" >>"$PGDATA/pg_hba.conf"
