# An index of commands: what each does is in scripts/.
MAKEFLAGS += --no-print-directory
.DEFAULT_GOAL := help
.PHONY: help setup quickstart test mutants model-check reference-job bench fmt lint golden validate-examples clean-data cluster-up cluster-down demo demo-down chaos soak soak-halt

help: ## list the commands
	@sed -n 's/^\([a-z-]*\):.*## /\1\t/p' Makefile | awk -F '\t' '{ printf "  make %-18s %s\n", $$1, $$2 }'

demo: ## the whole of it on a cluster: install, trade, halt, resume (ARGS=--once ends it; CLUSTER=kind or current)
	@scripts/demo $(ARGS)

demo-down: ## end what `make demo` left running
	@scripts/demo --down

quickstart: ## build the worker and watch two strategies trade packaged candles (KEEP=1 keeps the ledger)
	@scripts/quickstart

setup: ## check for Rust and a C compiler, install the tools of the checks into .tools/
	@scripts/setup

test: ## everything that must hold: format, lint, licences, generated files, all tests, a sample of mutants
	@scripts/test

mutants: ## break the code on purpose, each time a test must fail (NAMES="a b" runs those only)
	@scripts/mutants $(NAMES)

model-check: ## walk through the order protocol depth first (STATES=n a world, WORLDS="paused everything")
	@cargo run --release --quiet -p tradewind-model -- $(or $(STATES),20000000) $(WORLDS)

soak: ## simulate SEEDS worlds full of faults, from FIRST on; a seed that fails is kept and prints how to replay it
	@cargo run --release --quiet -p tradewind-simulation -- $(or $(SEEDS),100000) $(FIRST)

chaos: ## strike every write of the operator, each time it is made, by every fault, and compare the ends (an hour or more)
	@TRADEWIND_CHAOS=all scripts/cluster-test chaos

soak-halt: ## halt, revert, crash, resume, RUNS times (SEED=n for another order)
	@HALT_RUNS=$(or $(RUNS),1000) HALT_SEED=$(or $(SEED),1) scripts/cluster-test halting soak::

bench: ## measure; the figures are explained in docs/benchmarks.md
	@scripts/bench

reference-job: ## run the reference job on FILE=path; the last line is its result as JSON
	@scripts/reference-job "$(FILE)"

fmt: ## format all sources
	@cargo fmt --all

lint: ## clippy on everything, warnings are errors
	@cargo clippy --workspace --all-targets -- -D warnings

golden: ## write crds/generated/*.yaml and docs/decisions.md anew
	@scripts/golden

validate-examples: ## check every file of examples/ as the worker would read it
	@scripts/validate-examples

cluster-up: ## start a Kubernetes for hands-on work, with a node when root (NODES=2, K8S_VERSION=v1.33.13)
	@scripts/cluster-up

cluster-down: ## end that cluster and remove all of it
	@scripts/cluster-down

clean-data: ## remove the ledgers that runs left in .tradewind/
	@rm -rf .tradewind
