#!/usr/bin/env bash
# healthcheck [PATH]: status 0 if the proxy's HTTP listener answers PATH (default /healthz) with 200.
set -euo pipefail
path=${1:-/healthz}
port=${PGHERD__HTTP__PORT:-9187}
exec 3<>"/dev/tcp/127.0.0.1/$port"
printf 'GET %s HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n' "$path" >&3
read -r -t 2 _ status _ <&3
[ "$status" = 200 ]
