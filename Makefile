# Two commands set up a fresh machine: `make demo` and `make test`.
SHELL := /usr/bin/env bash
.SHELLFLAGS := -euo pipefail -c
.DEFAULT_GOAL := help
.PHONY: help demo test conformance bench fuzz check setup

export PATH := $(PATH):$(HOME)/.cargo/bin
export CARGO_TERM_COLOR ?= auto

# libpg_query is built with bindgen, which needs libclang; PyPI's will do where the system has none.
ifndef LIBCLANG_PATH
ifeq ($(wildcard /usr/lib/llvm-*/lib/libclang.so* /usr/lib/llvm-*/lib/libclang-[0-9]*.so* /usr/lib/*/libclang.so* /usr/lib/*/libclang-[0-9]*.so*),)
ifneq ($(wildcard .tools/venv/lib/python3*/site-packages/clang/native/libclang.so),)
export LIBCLANG_PATH := $(CURDIR)/$(dir $(firstword $(wildcard .tools/venv/lib/python3*/site-packages/clang/native/libclang.so)))
endif
endif
endif

SLUICE := target/debug/sluice

help:
	@echo 'make demo    install what is missing, build, start a broker with a demo database, print what to try'
	@echo 'make test    install what is missing, run every check and every test'
	@echo 'make conformance  install more, run the test suites of others through the broker: an hour'
	@echo 'make check   formatting, lints, documentation'
	@echo 'make bench   compare with pgbouncer, nginx, a plain TCP proxy and ssh -J'
	@echo 'make fuzz    feed what peers and disks may hold to each fuzz target for a minute (FUZZ_SECONDS=60)'
	@echo 'make setup   only install what is missing'

setup:
	@tools/setup.sh

demo: setup
	@echo "building the broker: some minutes the first time"; cargo build --package sluice-broker
	@exec $(SLUICE) demo

check: setup
	cargo fmt --all --check
	cargo clippy --workspace --all-targets -- --deny warnings
	RUSTDOCFLAGS='--deny warnings' cargo doc --workspace --no-deps --document-private-items

test: setup
	cargo fmt --all --check
	cargo clippy --workspace --all-targets -- --deny warnings
	cargo build --package sluice-broker
	cargo test --workspace
	$(SLUICE) policy test policies
	$(SLUICE) demo --check
	@echo 'make test: everything passed'

# One line for each suite; what they need beyond `setup` goes into .tools. PostgreSQL 18 comes last: the clients stay those of
# the system, which dump and describe no newer server.
CONFORMANCE := $(or $(SLUICE_CONFORMANCE),$(CURDIR)/.tools/conformance)
conformance:
	@tools/setup.sh conformance
	tools/conformance.sh
	cargo build --package sluice-broker --package sluice-tests
	target/debug/sluice-conformance regress
	target/debug/sluice-conformance isolation
	target/debug/sluice-conformance depend
	target/debug/sluice-conformance corpus
	target/debug/sluice-conformance pipeline
	target/debug/sluice-conformance asyncpg
	target/debug/sluice-conformance psycopg2
	target/debug/sluice-conformance rows
	target/debug/sluice-ssh-conformance openssh
	target/debug/sluice-ssh-conformance ansible
	target/debug/sluice-ssh-transfers
	target/debug/sluice-conformance orm
	target/debug/sluice-conformance smith
	PATH="$(CONFORMANCE)/second/bin:$$PATH" target/debug/sluice-conformance regress
	PATH="$(CONFORMANCE)/second/bin:$$PATH" cargo test --package sluice-tests --test e2e -- --skip tools:: --skip psql_describes --skip in_german --skip uses_the_tools

bench: setup
	cargo build --release --package sluice-broker --package sluice-tests
	target/release/sluice-bench

# Needs a nightly compiler and cargo-fuzz; a crash leaves its input in fuzz/artifacts.
FUZZ_SECONDS ?= 60
fuzz:
	@cargo +nightly fuzz --version >/dev/null 2>&1 || { \
		echo 'make fuzz needs: rustup toolchain install nightly && cargo install cargo-fuzz' >&2; exit 1; }
	cd fuzz && for target in $$(cargo +nightly fuzz list --fuzz-dir .); do \
		cargo +nightly fuzz run --fuzz-dir . --sanitizer none "$$target" -- -max_total_time=$(FUZZ_SECONDS) -rss_limit_mb=2048; \
	done
