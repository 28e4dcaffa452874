#!/usr/bin/env bash
# Prints the path of a PgBouncer of 1.21 or newer (the first with prepared statements in transaction mode): the one on
# PATH, or Debian 13's source package built in target/peers. Debian 12's own is 1.18.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/../.."

readonly NEWEST=trixie
readonly WORK=$PWD/target/peers/pgbouncer

main() {
    if [ -n "${PGBOUNCER:-}" ]; then
        echo "$PGBOUNCER"
    elif is_new_enough pgbouncer; then
        command -v pgbouncer
    else
        is_new_enough "$WORK/pgbouncer" || build >&2
        echo "$WORK/pgbouncer"
    fi
}

is_new_enough() {
    command -v "$1" >/dev/null || return 1
    local version
    version=$("$1" --version | sed -n 's/^PgBouncer \([0-9.]*\).*/\1/p')
    [ "$(printf '1.21\n%s\n' "$version" | sort -V | head -1)" = 1.21 ]
}

build() {
    command -v apt-get >/dev/null || {
        echo "PgBouncer 1.21 or newer is missing: install it and set PGBOUNCER=/path/to/pgbouncer" >&2
        exit 1
    }
    rm -rf "$WORK"
    mkdir -p "$WORK/apt/lists/partial" "$WORK/source"
    debian_source >"$WORK/apt/sources.list"
    private_apt update -qq
    (cd "$WORK/source" && private_apt source -qq --download-only pgbouncer && dpkg-source --no-check -x ./*.dsc tree)
    (cd "$WORK/source/tree" && ./configure --quiet --without-cares && make -s -j"$(nproc)" pgbouncer)
    cp "$WORK/source/tree/pgbouncer" "$WORK/pgbouncer"
}

# This machine's own Debian archive, with the suite replaced: nothing of the system's apt is touched.
debian_source() {
    local uri
    uri=$(sed -n 's/^URIs: *\([^ ]*\/debian\/*\)$/\1/p; s/^deb  *\(\[[^]]*\] *\)\{0,1\}\([^ ]*\/debian\/*\) .*/\2/p' \
        /etc/apt/sources.list /etc/apt/sources.list.d/* 2>/dev/null | head -1) || true
    [ -n "$uri" ] || { echo "no Debian archive in /etc/apt" >&2; exit 1; }
    echo "deb-src [signed-by=/usr/share/keyrings/debian-archive-keyring.gpg] $uri $NEWEST main"
}

private_apt() {
    apt-get -o Dir::Etc::SourceList="$WORK/apt/sources.list" -o Dir::Etc::SourceParts=/dev/null \
        -o Dir::State::Lists="$WORK/apt/lists" -o Dir::Cache="$WORK/apt" -o APT::Sandbox::User=root "$@"
}

main "$@"
