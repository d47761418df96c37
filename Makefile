# What a newcomer, a developer and the continuous integration type. `make` alone says what there is.

# Where rustup's installer puts cargo, which a shell that was open before does not know.
export PATH := $(HOME)/.cargo/bin:$(PATH)

.DEFAULT_GOAL := help
SEEDS ?= 3000

.PHONY: help run test test-all sim fuzz loom sanitize bench versus lint install go-library

help: ## this list
	@grep -hE '^[a-z-]+:.*## ' $(MAKEFILE_LIST) | sed -E 's/^([a-z-]+):.*## (.*)/make \1|\2/' | column -t -s '|' 2>/dev/null \
		|| grep -hE '^[a-z-]+:.*## ' $(MAKEFILE_LIST)

run: ## build the agent and watch it collect logs that it writes itself: live figures, then a verdict
	@scripts/setup build
	cargo run --release --quiet --package ringtail-agent -- demo

test: ## everything that fits in 20 minutes on two cores, on both I/O backends
	@scripts/setup test
	scripts/test

test-all: ## and what takes longer: more seeds of the simulation, longer runs under kill -9
	@scripts/setup test
	scripts/test --all

fuzz: ## every fuzzer for TIME seconds (60), with AddressSanitizer; what is found joins fuzz/corpus
	@scripts/setup fuzz
	scripts/fuzz $(or $(TIME),60)

loom: ## every order of events for what threads share: slabs, carries, credit, answers
	@scripts/setup build
	RUSTFLAGS='--cfg loom' LOOM_MAX_PREEMPTIONS=3 CARGO_TARGET_DIR=$(or $(CARGO_TARGET_DIR),target)/loom \
		cargo test --release --quiet --package ringtail-memory --package ringtail-record --test loom

sanitize: ## the tests of the crates with unsafe code, with AddressSanitizer
	@scripts/setup build
	scripts/sanitize

sim: ## the simulation with many seeds: make sim SEEDS=20000
	@scripts/setup build
	RINGTAIL_SIM_SEEDS=$(SEEDS) cargo test --profile sim --quiet --package ringtail-engine --lib simulation

bench: ## the throughput of each stage and of the whole, beside the bare loops
	@scripts/setup build
	cargo bench --package ringtail-benches

versus: ## ringtail beside the other collectors that are on the PATH: a table and a chart in benches/record; ARGS=--help
	@scripts/setup build
	cargo build --release --quiet --package ringtail-agent
	cargo run --release --quiet --package ringtail-versus --bin ringtail-versus -- $(ARGS)

go-library: ## the static library for bindings/go, into bindings/go/lib
	@scripts/setup build
	scripts/go-library

lint: ## formatting, and clippy without warnings
	@scripts/setup lint
	cargo fmt --all --check
	cargo clippy --workspace --all-targets -- --deny warnings

# Where libringtail is installed, and where cargo leaves it.
PREFIX ?= /usr/local
TARGET_DIR = $(or $(CARGO_TARGET_DIR),target)

install: ## libringtail with its headers, pkg-config and CMake files, below PREFIX (/usr/local)
	@scripts/setup build
	cargo build --release --quiet --package ringtail-ffi
	scripts/install-library $(abspath $(PREFIX)) $(TARGET_DIR)/release
