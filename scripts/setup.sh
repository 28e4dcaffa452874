#!/usr/bin/env bash
# Sets up what a make target needs. Quiet and quick when nothing is missing; touches the network only when something is.
#
#   scripts/setup.sh compiler postgres drivers valgrind lint peers pgpool plot
#
# On Debian and Ubuntu missing system packages are installed with apt-get, as root or through sudo. Elsewhere it says
# what to install, and ends with status 1.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."

readonly RUST_MIN=1.95
readonly DRIVERS=target/drivers
# The pinned drivers of the end-to-end tests; a change here renews the installed ones.
readonly PYTHON_DRIVERS="psycopg[binary]==3.3.9 asyncpg==0.31.0"
readonly NODE_DRIVERS="pg@8.23.1"
readonly JDBC_JAR=/usr/share/java/postgresql.jar

main() {
    local need
    for need in "$@"; do
        case $need in
            compiler) need_compiler ;;
            postgres) need_postgres ;;
            drivers) need_drivers ;;
            valgrind) need_valgrind ;;
            lint) need_lint ;;
            peers) need_peers ;;
            pgpool) need_pgpool ;;
            plot) need_plot ;;
            *) fail "unknown need '$need'; known: compiler postgres drivers valgrind lint peers pgpool plot" ;;
        esac
    done
}

# === needs ===

# cargo and the C compiler that builds the cryptography.
need_compiler() {
    has cc || packages "a C compiler" gcc libc6-dev
    if ! has cargo; then
        fail "Rust $RUST_MIN or newer is missing: install it as https://rustup.rs says, then run this again"
    fi
    local have
    have=$(cargo --version | cut -d' ' -f2)
    if [ "$(printf '%s\n' "$RUST_MIN" "$have" | sort -V | head -1)" != "$RUST_MIN" ]; then
        fail "Rust $RUST_MIN or newer is needed, cargo is $have: run 'rustup update stable' (Debian's own cargo is too old)"
    fi
}

# initdb, postgres, pg_basebackup, pgbench and psql, with no cluster of the system's own started.
need_postgres() {
    # The program, not the shell's builtin: the demo and the tests send signals with it.
    type -P kill >/dev/null || packages "kill" procps
    if postgres_bin_dir >/dev/null && has psql && has_ordinary_user; then return; fi
    on_debian || fail "PostgreSQL 14 or newer is missing (initdb, pg_ctl, pg_basebackup, pgbench, psql): install its server and" \
        "client packages, e.g. 'dnf install postgresql-server postgresql-contrib' or 'brew install postgresql@15'"
    packages "PostgreSQL's package tools" postgresql-common
    local no_cluster=/etc/postgresql-common/createcluster.d/pgherd.conf
    if [ ! -e $no_cluster ]; then
        as_root install -d /etc/postgresql-common/createcluster.d
        printf '# The tests and the demo make their own clusters in temporary directories.\ncreate_main_cluster = false\n' |
            as_root tee $no_cluster >/dev/null
    fi
    packages "PostgreSQL" postgresql postgresql-client
}

# psycopg 3 and asyncpg in a virtual environment, node-postgres, and pgjdbc with a JDK.
need_drivers() {
    need_python_drivers
    need_node_drivers
    if [ ! -e $JDBC_JAR ] || ! has javac; then
        packages "pgjdbc and a JDK" libpostgresql-jdbc-java default-jdk-headless
    fi
}

need_lint() {
    if ! cargo clippy --version >/dev/null 2>&1 || ! cargo fmt --version >/dev/null 2>&1; then
        has rustup || fail "clippy and rustfmt are missing: install them with the toolchain"
        rustup component add clippy rustfmt
    fi
    if ! has shellcheck && on_debian; then
        packages "shellcheck" shellcheck
    fi
}

# The peers of the benchmark: PgPool-II as packaged, and what PgBouncer's source package needs to be built.
need_peers() {
    need_pgpool
    on_debian || return 0
    if ! has pkg-config || ! pkg-config --exists libevent openssl; then
        packages "PgBouncer's build requirements" libevent-dev libssl-dev pkg-config make gcc
    fi
    has dpkg-source || packages "dpkg-source" dpkg-dev
}

# Counts what a transaction costs; the tests that do are left out elsewhere.
need_valgrind() {
    if ! has valgrind && on_debian; then packages "valgrind" valgrind; fi
}

# What benches/peers/plot.py draws with. It asks the system's own Python too, should another be first on PATH.
need_plot() {
    local python
    for python in python3 /usr/bin/python3; do
        if "$python" -c 'import matplotlib' 2>/dev/null; then return; fi
    done
    packages "matplotlib" python3-matplotlib
}

need_pgpool() { has pgpool || packages "PgPool-II" pgpool2; }

# === drivers ===

need_python_drivers() {
    local venv=$DRIVERS/venv
    if is_marked $venv "$PYTHON_DRIVERS"; then return; fi
    if ! python3 -c 'import ensurepip, venv' 2>/dev/null; then
        packages "Python with venv" python3 python3-venv
    fi
    say "installing $PYTHON_DRIVERS into $venv"
    rm -rf $venv
    python3 -m venv $venv
    # shellcheck disable=SC2086 # one word per package
    $venv/bin/pip install --quiet --disable-pip-version-check $PYTHON_DRIVERS
    mark $venv "$PYTHON_DRIVERS"
}

need_node_drivers() {
    local node=$DRIVERS/node
    has node || packages "Node.js" nodejs
    if is_marked $node "$NODE_DRIVERS"; then return; fi
    has npm || packages "npm" npm
    say "installing $NODE_DRIVERS into $node"
    rm -rf $node
    mkdir -p $node
    echo '{ "private": true }' >$node/package.json
    # shellcheck disable=SC2086 # one word per package
    npm install --prefix $node --no-package-lock --no-audit --no-fund --loglevel=error $NODE_DRIVERS >/dev/null
    mark $node "$NODE_DRIVERS"
}

is_marked() { [ "$(cat "$1/.installed" 2>/dev/null)" = "$2" ]; }

mark() { echo "$2" >"$1/.installed"; }

# === helpers ===

has() { command -v "$1" >/dev/null 2>&1; }

on_debian() { has apt-get; }

say() { echo "setup: $*" >&2; }

fail() {
    say "$*"
    exit 1
}

# The newest version directory of Debian's, or PATH; nothing and status 1 when there is none.
postgres_bin_dir() {
    local initdb
    initdb=$(find /usr/lib/postgresql/*/bin/initdb /usr/pgsql-*/bin/initdb /opt/homebrew/opt/postgresql@*/bin/initdb \
        2>/dev/null | sort -V | tail -1) || true
    [ -n "$initdb" ] || initdb=$(command -v initdb) || return 1
    dirname "$initdb"
}

# PostgreSQL refuses to run as root: then the demo and the tests run it as user postgres.
has_ordinary_user() { [ "$(id -u)" != 0 ] || id postgres >/dev/null 2>&1; }

as_root() {
    if [ "$(id -u)" = 0 ]; then
        "$@"
    elif has sudo; then
        sudo "$@"
    else
        fail "not root and no sudo: run as root: $*"
    fi
}

# packages WHAT NAME…: installs Debian packages, or says what is missing.
packages() {
    local what=$1
    shift
    on_debian || fail "$what is missing; the Debian packages are called: $*"
    say "installing $what ($*)"
    apt_updated || as_root env DEBIAN_FRONTEND=noninteractive apt-get update -qq ||
        say "apt-get update failed; trying with the lists that are there"
    as_root env DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends "$@" </dev/null >/dev/null ||
        fail "could not install $what: apt-get install $*"
}

# Once per run is enough.
apt_updated() {
    [ -z "${APT_UPDATED:-}" ] || return 0
    APT_UPDATED=yes
    return 1
}

main "$@"
