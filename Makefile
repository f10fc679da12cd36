# What one does here, and what CI does: the same. `make` alone lists it.

SHELL := /bin/bash
.DEFAULT_GOAL := help
.DELETE_ON_ERROR:

CARGO ?= cargo
# Rows of the comparison over both metrics, and how often each contender runs.
BENCH_ROWS ?= 1000000
BENCH_ROUNDS ?= 3
# How many of the fault schedules to run; there are some 1,770.
FAULT_SCHEDULES ?= 900
# What to fuzz, and how long.
FUZZ_TARGET ?= blob
FUZZ_SECONDS ?= 3600
PYTHON ?= python3
NPM ?= npm
NODE ?= node
# The folder that holds Azure's API descriptions (`azure-specs`). Tests that need it skip without it.
export COSTLAKE_REFERENCE ?= ../shared/reference

# One build serves tests and demo. Its hot crates are optimised (see [profile.dev] in Cargo.toml).
costlake := target/debug/costlake
venv_stamp := .venv/requirements.stamp
node_stamp := tests/servers/node_modules/.package-lock.stamp
servers_venv_stamp := tests/servers/.venv/requirements.stamp

.PHONY: help
help: ## List the targets
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "  %-14s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

.PHONY: build
build: ## Build the program for tests and demo: target/debug/costlake
	$(CARGO) build --locked

.PHONY: release
release: ## Build the fast program: target/release/costlake
	$(CARGO) build --locked --release

.PHONY: doc
doc: ## Build the API documentation; a broken link is an error
	RUSTDOCFLAGS="-D warnings" $(CARGO) doc --locked --workspace --no-deps

.PHONY: clean
clean: ## Remove everything that was built or installed here
	$(CARGO) clean
	rm -rf .venv tests/servers/.venv tests/servers/node_modules

.PHONY: fmt
fmt: ## Format the Rust code
	$(CARGO) fmt --all

.PHONY: fmt-check
fmt-check: ## Check that the Rust code is formatted
	$(CARGO) fmt --all --check

.PHONY: lint
lint: ## Run clippy over everything; a warning is an error
	$(CARGO) clippy --locked --workspace --all-targets --features internals -- -D warnings
	$(CARGO) clippy --locked -p costlake-transform --no-default-features --features internals -- -D warnings

.PHONY: test
test: .venv ## Run all tests, Python's readers among them; needs Rust and Python, nothing else
	$(CARGO) test --locked --workspace

.PHONY: test-servers
test-servers: build $(node_stamp) $(servers_venv_stamp) ## Check costlake against Azurite, moto, Azure's own API description and client; needs Node.js
	@[ -d "$(COSTLAKE_REFERENCE)/azure-specs" ] || \
		echo "test-servers: no azure-specs in COSTLAKE_REFERENCE=$(COSTLAKE_REFERENCE), what needs them is skipped"
	COSTLAKE_BIN=$(costlake) $(NODE) --test --test-reporter=spec tests/servers/*.test.mjs

.PHONY: test-unattended
test-unattended: build ## Disturb and kill pulls in every way there is: faults, kill -9, a throttled backfill; needs Python and a C compiler
	COSTLAKE_BIN=$(abspath $(costlake)) $(PYTHON) tests/unattended/faults.py --sample $(FAULT_SCHEDULES)
	COSTLAKE_BIN=$(abspath $(costlake)) $(PYTHON) tests/unattended/kills.py
	COSTLAKE_BIN=$(abspath $(costlake)) $(PYTHON) tests/unattended/backfill.py

# Any toolchain takes the switches of sanitizers that way; a nightly one needs no such leave.
.PHONY: fuzz
fuzz: ## Fuzz FUZZ_TARGET=split, number or blob for FUZZ_SECONDS=3600; needs `cargo install cargo-fuzz`
	RUSTC_BOOTSTRAP=1 $(CARGO) fuzz run $(FUZZ_TARGET) fuzz/corpus/$(FUZZ_TARGET) fuzz/seeds/$(FUZZ_TARGET) -- \
		-dict=fuzz/words.dict -max_len=4096 -max_total_time=$(FUZZ_SECONDS)

.PHONY: bench
bench: release .venv ## Measure the stages, the main job beside DuckDB and Polars, growth and pull; needs 12 GB of disk
	.venv/bin/python benches/compare.py target/release/costlake compare growth pull \
		--rows $(BENCH_ROWS) --rounds $(BENCH_ROUNDS)
	$(CARGO) bench --locked --features internals --bench stages

.PHONY: bench-smoke
bench-smoke: build .venv ## Run all that `bench` runs, once and on few rows, with the build of the tests
	.venv/bin/python benches/compare.py $(costlake) smoke
	$(CARGO) test --locked --features internals --bench stages

.PHONY: ci
ci: ## Run what CI runs
	.ci/run

.PHONY: demo
demo: build ## Run the whole pipeline against the simulated Azure
	COSTLAKE_BIN=$(costlake) scripts/demo.sh

.PHONY: sim
sim: build ## Run the simulated Azure until Ctrl-C; its environment is in target/sim.env
	$(costlake) simulate --listen 127.0.0.1:0 --env-file target/sim.env

# DuckDB, Polars and pyarrow, as judges of the lake. Made once, and again when the pinned versions change.
.PHONY: .venv
.venv: $(venv_stamp)

$(venv_stamp): tests/requirements.txt
	$(PYTHON) -m venv .venv
	.venv/bin/python -m pip install --quiet --disable-pip-version-check --requirement $<
	touch $@

# For the tests with servers, apart from the judges: these bring sixty packages along.
$(servers_venv_stamp): tests/servers/requirements.txt
	$(PYTHON) -m venv tests/servers/.venv
	tests/servers/.venv/bin/python -m pip install --quiet --disable-pip-version-check --requirement $<
	touch $@

$(node_stamp): tests/servers/package.json tests/servers/package-lock.json
	cd tests/servers && $(NPM) ci --ignore-scripts --no-audit --no-fund
	touch $@
