# `make run` and `make test` are all that a newcomer needs; `make help` lists the rest.
SHELL := /bin/bash
.SHELLFLAGS := -euo pipefail -c
.DEFAULT_GOAL := help

# Outside the clone, so that a second clone builds quickly.
CACHE := $(or $(XDG_CACHE_HOME),$(HOME)/.cache)/caudal
export CARGO_TARGET_DIR ?= $(CACHE)/target
CAUDAL := $(CARGO_TARGET_DIR)/debug/caudal
# Said while nothing is built yet.
FIRST_TIME = $(if $(wildcard $(CAUDAL)),, (the first time takes some minutes))
# Settings of this machine, if there are any: see .env.example.
DOTENV := if [ -f .env ]; then set -a; . ./.env; set +a; fi

.PHONY: help run admin dotenv test screenshots lint bench fuzz build build-tests web unit e2e kubernetes chart-test cluster cluster-down cluster-test cluster-soak
.PHONY: setup setup-test setup-kubernetes setup-cluster setup-lint setup-fuzz setup-bench

help: ## Show this list
	@awk -F ':.*## ' '/^[a-z0-9-]+:.*## /{printf "  make %-12s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

run: dotenv setup web ## Run the whole platform on this machine (ARGS="--help" for its settings)
	@scripts/stage "Building caudal$(FIRST_TIME)" cargo build --workspace --exclude caudal-bench
	@$(DOTENV); CAUDAL_WEB_DIR="$${CAUDAL_WEB_DIR:-$(CURDIR)/web/dist}" exec $(CAUDAL) standalone $(ARGS)

admin: dotenv ## Ask that platform to do something, with the same settings (ARGS="streams"; ARGS="--help" lists what)
	@[ -x $(CAUDAL) ] || { echo "there is no $(CAUDAL) yet: 'make run' builds it" >&2; exit 1; }
	@$(DOTENV); exec $(CAUDAL) admin $(ARGS)

test: setup-test setup-kubernetes web unit e2e kubernetes ## Run every test, but for the hour of make cluster-test

unit: build-tests ## The Rust and web tests, without the whole-system ones
	@scripts/setup test check
	@scripts/stage "Rust tests" scripts/with-postgres.sh scripts/rust-tests
	@scripts/stage "Web tests" npm --prefix web run --silent test

e2e: web build-tests ## The whole platform with real ffmpeg and Chromium
	@scripts/setup test check
	@CAUDAL_BIN=$(CAUDAL) CAUDAL_WEB_DIR=$(CURDIR)/web/dist scripts/stage "End-to-end tests" npm --prefix e2e run --silent test

screenshots: setup-test web build-tests ## Take pictures of all pages, for docs/images/pages
	@CAUDAL_SCREENSHOTS=$(CURDIR)/docs/images/pages CAUDAL_BIN=$(CAUDAL) CAUDAL_WEB_DIR=$(CURDIR)/web/dist \
	    scripts/stage "Pictures of the pages" npm --prefix e2e run --silent test -- tests/accessibility.test.ts

# Nothing is skipped in CI: there the first step that cannot be done says what the machine lacks.
kubernetes: setup-kubernetes web build-tests ## The chart, an installation on a real cluster, and a broadcast that lives through five faults (as root)
	@lacks=; [ -n "$${CI:-}" ] || lacks=$$(e2e/cluster/cluster check 2>&1) || true; \
	if [ -n "$$lacks" ]; then \
	    printf '\n*** NOT TESTED: Kubernetes. %s ***\n\n' "$$lacks" >&2; \
	else \
	    scripts/stage "Chart tests" env CAUDAL_BIN=$(CAUDAL) npm --prefix e2e run --silent test:chart; \
	    scripts/stage "Cluster tests" env CAUDAL_BIN=$(CAUDAL) CAUDAL_WEB_DIR=$(CURDIR)/web/dist npm --prefix e2e run --silent test:cluster-brief; \
	fi

build: ## Build the program
	@scripts/stage "Building caudal$(FIRST_TIME)" cargo build --workspace

# The program and its tests in one go: built without them, all dependencies would be compiled once more for other features.
build-tests:
	@scripts/stage "Building caudal and its tests$(FIRST_TIME)" cargo build --workspace --bins --tests

web: ## Build the pages
	@scripts/npm-ci web check
	@scripts/web-pages

# Most of it is apart from `test`, because it takes an hour.
cluster-test: setup-test setup-cluster web build-tests ## The tests of that cluster, and of the image on it (as root)
	@CAUDAL_ABORTS=$${CAUDAL_ABORTS:-1000} CAUDAL_KILLS=$${CAUDAL_KILLS:-60} scripts/stage "Tests over an API server" \
	    scripts/with-kubernetes.sh cargo test --workspace --test api_server --test cluster
	@CAUDAL_BIN=$(CAUDAL) CAUDAL_WEB_DIR=$(CURDIR)/web/dist scripts/stage "Cluster tests" npm --prefix e2e run --silent test:cluster

cluster-soak: setup-test setup-cluster build-tests ## Half an hour in which leading operators are killed a thousand times (KILLS=1000)
	@CAUDAL_KILLS=$${KILLS:-1000} scripts/stage "A thousand kills of the leader" \
	    scripts/with-kubernetes.sh cargo test --workspace --test api_server killed_at_any_moment

chart-test: setup-cluster ## The Helm chart: what it renders, and what a real API server says to that (UPDATE=-u writes the golden renders)
	@scripts/npm-ci e2e check
	@scripts/stage "Chart tests" npm --prefix e2e run --silent test:chart -- $(UPDATE)

cluster: setup setup-cluster web build ## Start a Kubernetes cluster with the platform on it (as root); prints where it is
	@places=$$(scripts/stage "Starting a cluster of two nodes" e2e/cluster/cluster up); \
	image=$$(scripts/stage "Making the image" e2e/cluster/build-image $(CAUDAL) web/dist); \
	urls=$$(scripts/stage "Installing the chart, until all pods are ready" e2e/cluster/install "$$image" "$$(sed -n 's/^DATABASE_URL=//p' <<<"$$places")"); \
	printf '%s\n' "$$places" "$$urls"; \
	printf '%s\n' "$$places" "$$urls" | e2e/cluster/next-steps $(CAUDAL) >&2

cluster-down: ## Remove that cluster
	@e2e/cluster/cluster down

lint: setup-lint ## Formatting, clippy, licences, SQL data, web lint and types
	@scripts/stage "Formatting" cargo fmt --all --check
	@scripts/stage "Clippy" cargo clippy --workspace --all-targets -- -D warnings
	@scripts/stage "Dependencies" scripts/cargo-deny
	@scripts/stage "SQL data" scripts/with-postgres.sh scripts/sqlx-prepare.sh --check
	@scripts/stage "Web lint" npm --prefix web run --silent lint
	@scripts/stage "Web types" npm --prefix web run --silent check

bench: setup-bench web ## Measure speed and latency beside peers, an hour (ONLY="cost edge" for some of it)
	@scripts/stage "Building caudal as it is released" cargo build --workspace --release
	@CAUDAL_BIN=$(CARGO_TARGET_DIR)/release/caudal CAUDAL_WEB_DIR=$(CURDIR)/web/dist bench/run $(ONLY)

fuzz: setup-fuzz ## Fuzz every parser for a minute each (SECONDS_EACH=60, or FUZZ_RUNS=10000000 executions)
	@scripts/fuzz

# Before anything is built, which takes longer.
dotenv:
	@scripts/dotenv

setup: ## Install what building and running need (as root; else it prints the line that does)
	@scripts/setup run

# Where that can be; `kubernetes` says where it cannot.
setup-kubernetes:
	@if [ -n "$${CI:-}" ] || { [ "$$(id -u)" -eq 0 ] && command -v go >/dev/null; }; then scripts/setup cluster; fi

setup-test setup-cluster setup-lint setup-fuzz setup-bench:
	@scripts/setup $(@:setup-%=%)
