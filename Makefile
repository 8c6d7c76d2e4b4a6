# Two commands do all: `make up` brings a core up, `make test` proves it. Each installs what it needs.
SHELL := /bin/bash
export PATH := $(HOME)/.cargo/bin:$(PATH)
TARGET_DIRECTORY := $(or $(CARGO_TARGET_DIR),target)
MUSL := x86_64-unknown-linux-musl
EVERTONE := $(TARGET_DIRECTORY)/release/evertone
export EVERTONE_BINARIES := $(abspath $(TARGET_DIRECTORY)/$(MUSL)/nf)

.PHONY: up down status test test-quick bench faults lint build setup setup-test fuzz interop

up: build ## build everything and bring up the core of FILE (default: manifests/samples/ims-core.yaml)
	@$(EVERTONE) up $(if $(FILE),-f $(FILE))

down: ## stop it; its data stays
	@if [ -x $(EVERTONE) ]; then $(EVERTONE) down; else echo "nothing was built here, so nothing runs from here"; fi

status:
	@$(EVERTONE) status

build: setup ## static network functions and the `evertone` command
	@cargo build --quiet --profile nf --target $(MUSL) -p host --bins
	@cargo build --quiet --release -p controller

test: setup-test ## everything that CI runs
	@cargo run --quiet -p xtask -- test

bench: setup-test build ## print the figures and write target/figures/*.json
	@cargo run --quiet -p xtask -- bench

faults: setup-test build ## kill and freeze whoever serves, under traffic; say what a subscriber sees of it
	@cargo build --quiet --release -p lab
	@mkdir -p target/figures
	@cargo run --quiet --release -p lab -- $(FAULTS) --figures target/figures/faults.json

lint: setup
	@cargo run --quiet -p xtask -- lint

setup:
	@xtask/setup/install build

setup-test:
	@xtask/setup/install test
