#!/usr/bin/env bash
# The part of `make lint` that is not cargo's own: shell scripts, and licences where cargo-deny is there.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."

if command -v shellcheck >/dev/null; then
    find scripts docker benches tests .ci/run -type f \( -name '*.sh' -o -path .ci/run \) -exec shellcheck {} +
    echo "shellcheck: ok"
else
    echo "shellcheck: not installed, skipped"
fi

if command -v cargo-deny >/dev/null; then
    cargo deny --offline check licenses bans sources
else
    echo "cargo deny: not installed, skipped (deny.toml; cargo install cargo-deny)"
fi
