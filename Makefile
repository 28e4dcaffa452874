# What one types. Each target sets up what it needs (scripts/setup.sh); nothing has to be typed before.
#
#   make demo ARGS="--for 20s"        make test TESTS=routing        make bench ARGS=--quick        make bench-failover N=10

SHELL := /bin/bash
# rustup installs here, and a fresh shell may not know it yet.
export PATH := $(PATH):$(HOME)/.cargo/bin

CARGO ?= cargo
# Each end-to-end test starts PostgreSQL: more threads than this only make a small machine slow and the tests late.
E2E_THREADS ?= 2
TESTS ?=
# Plays of the failover simulator; the seed of one that fails is printed, and PGHERD_SEED=… tells its story.
SEEDS ?= 10000
ARGS ?=
# Failovers of `make bench-failover`.
N ?= 100

.DEFAULT_GOAL := help
.PHONY: help demo test simulate cost lint bench bench-plot bench-scaling bench-failover

help: ## this list
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "  make %-14s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

demo: ## a real cluster of three on this machine and the proxy before it; Ctrl-C removes everything
	@scripts/setup.sh compiler postgres
	@$(CARGO) run --quiet --bin pgherd -- demo $(ARGS)

test: ## all tests: units, pure parts, and end to end on a real PostgreSQL cluster with real drivers
	@scripts/setup.sh compiler postgres drivers valgrind
	$(CARGO) test --lib --bins --test it -- $(TESTS)
	$(CARGO) test --test e2e -- --test-threads=$(E2E_THREADS) $(TESTS)

simulate: ## the failover's decisions against dying nodes, cut links, crashes: SEEDS=100000 plays
	@scripts/setup.sh compiler
	PGHERD_SEEDS=$(SEEDS) $(CARGO) test --release --test it simulation -- --nocapture

cost: ## instructions, allocations, system calls per transaction of the release build, against their bounds
	@scripts/setup.sh compiler postgres valgrind
	$(CARGO) build --release --bin pgherd
	PGHERD_COST_BINARY=$(abspath $(or $(CARGO_TARGET_DIR),target))/release/pgherd $(CARGO) test --test e2e cost:: -- --nocapture

lint: ## format, clippy, shell scripts; licences and bans too where cargo-deny is installed
	@scripts/setup.sh compiler lint
	$(CARGO) fmt --check
	$(CARGO) clippy --quiet --all-targets -- -D warnings
	@scripts/lint.sh

bench: ## the pure parts (criterion), then the peers' comparison into benches/README.md
	@scripts/setup.sh compiler postgres peers
	$(CARGO) build --release --bin pgherd
	$(CARGO) bench --bench pure --bench classify
	python3 benches/peers/run.py $(ARGS)

bench-plot: ## CPU per transaction over 1 to 1,000 clients, drawn as benches/cpu-per-transaction.png; some 6 minutes
	@scripts/setup.sh compiler postgres peers plot
	$(CARGO) build --release --bin pgherd
	python3 benches/peers/plot.py $(ARGS)

bench-scaling: ## cost as clients, nodes and prepared statements grow, into benches/README.md; some 6 minutes
	@scripts/setup.sh compiler postgres peers
	$(CARGO) build --release --bin pgherd
	python3 benches/peers/scaling.py $(ARGS)

bench-failover: ## N failovers under load, then switchovers, and PgPool-II through the same; some 15 minutes
	@scripts/setup.sh compiler postgres pgpool
	$(CARGO) bench --bench failover -- --failovers $(N) $(ARGS)
