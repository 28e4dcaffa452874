#!/usr/bin/env bash
# Run once by the image of the primary, after setup.sql made the monitor role: gives it its password.
set -euo pipefail

psql -X -v ON_ERROR_STOP=1 --username "$POSTGRES_USER" --dbname postgres -v password="$MONITOR_PASSWORD" <<'SQL'
ALTER ROLE pgherd PASSWORD :'password';
SQL
