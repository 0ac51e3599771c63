# The one entry for people and CI. `make` lists what there is.
#
# Tools are installed under .tools/ when a target needs them; nothing outside this folder is touched.

SHELL := /bin/bash
.DEFAULT_GOAL := help
CARGO ?= cargo
STEP := .ci/step
TOOLS := .tools
BIN := $(TOOLS)/bin
PYTHON := $(TOOLS)/venv/bin/python
# Dev profile and the one target folder: the Python and Java packages reuse what cargo built before.
export MATURIN_PEP517_ARGS ?= --profile=dev
export CARGO_TARGET_DIR ?= $(CURDIR)/target

.PHONY: help
help: ## List the targets
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "  make %-13s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

.PHONY: run
run: ## Build, start a broker and show a message go through; Ctrl-C stops it
	@deploy/scripts/run-demo.sh

.PHONY: build
build: ## Build everything, tests too (dev profile)
	$(CARGO) build --workspace --all-targets

.PHONY: test
test: ## All suites: verify, Rust, Python, Java, conformance, README, example
	@$(STEP) "tools" .ci/tools.sh
	@$(STEP) "verify" $(MAKE) --no-print-directory verify
	@$(STEP) "build" $(MAKE) --no-print-directory build
	@$(STEP) "Rust tests" $(MAKE) --no-print-directory test-rust
	@$(STEP) "Python tests" $(MAKE) --no-print-directory test-python
	@$(STEP) "Java tests" $(MAKE) --no-print-directory test-java
	@$(STEP) "conformance matrix" $(MAKE) --no-print-directory test-conformance
	@$(STEP) "benchmark harness tests" $(MAKE) --no-print-directory test-bench
	@$(STEP) "OpenAPI" $(MAKE) --no-print-directory test-openapi
	@$(STEP) "README" $(MAKE) --no-print-directory test-readme
	@$(STEP) "example" $(MAKE) --no-print-directory example

.PHONY: test-rust
test-rust: ## Rust tests of all crates
	$(CARGO) test --workspace

.PHONY: test-conformance
test-conformance: ## The same cases at every door and in every SDK, as a matrix; needs the SDKs that test-python and test-java install
	FLYMQ_CONFORMANCE=python,java $(CARGO) test --workspace --test conformance -- --nocapture

.PHONY: test-python
test-python: ## Python SDK: types, style, tests
	@.ci/tools.sh python
	@.ci/python.sh

.PHONY: test-java
test-java: ## Java SDK and Spring starters: tests
	@$(MAKE) --no-print-directory build
	@.ci/java.sh

.PHONY: test-bench
test-bench: ## The benchmark's harness: style, types, tests; measures nothing
	@.ci/tools.sh python
	@.ci/bench.sh

.PHONY: test-openapi
test-openapi: ## The OpenAPI document is valid, and the built broker answers as it says
	@.ci/tools.sh python
	@.ci/openapi.sh $(CARGO_TARGET_DIR)/debug

# Guides whose blocks are run.
GUIDES := $(addprefix docs/,consumer-groups.md transactions.md dead-letters.md scheduled-messages.md filters.md schemas.md serdes.md)

.PHONY: test-readme
test-readme: ## make run and the blocks of README.md and of the guides, as a reader would run them
	@.ci/tools.sh grpcurl python
	@$(PYTHON) -c 'import pyflymq' 2>/dev/null || .ci/python.sh install
	@DEMO_EXIT=1 DEMO_SKIP_BUILD=1 BIN_DIR=$(CARGO_TARGET_DIR)/debug deploy/scripts/run-demo.sh </dev/null
	@test -d ~/.m2/repository/com/firefly/flymq/flymq-client-core || .ci/java.sh -DskipTests
	@$(PYTHON) tests/readme/run.py --bin $(CARGO_TARGET_DIR)/debug README.md $(GUIDES) sdk-java/README.md sdk-java/GETTING_STARTED.md

.PHONY: example
example: ## The example with a real data set: consumer groups in Python and Spring Boot that must agree
	@.ci/tools.sh python
	@$(PYTHON) -c 'import pyflymq' 2>/dev/null || .ci/python.sh install
	@test -d ~/.m2/repository/com/firefly/flymq/flymq-client-spring || .ci/java.sh -DskipTests
	@BIN_DIR=$(CARGO_TARGET_DIR)/debug PYTHON=$(PYTHON) examples/run.sh

.PHONY: verify
verify: ## Checks that never write: format, lints, contracts, dependencies
	@.ci/tools.sh buf cargo-deny
	@$(STEP) "format" $(CARGO) fmt --all --check
	@$(STEP) "contracts: lint" $(BIN)/buf lint
	@$(STEP) "contracts: breaking" .ci/proto-breaking.sh
	@$(STEP) "dependencies" $(BIN)/cargo-deny check --hide-inclusion-graph bans licenses sources
	@$(STEP) "lints" $(CARGO) clippy --workspace --all-targets -- -D warnings

.PHONY: fix
fix: ## Format, apply what clippy can mend, regenerate reference pages
	$(CARGO) fmt --all
	$(CARGO) clippy --workspace --all-targets --fix --allow-dirty --allow-staged
	UPDATE_DOCS=1 $(CARGO) test --workspace --test formats docs_match_the_key_table

.PHONY: bench
bench: ## Benchmark beside NATS JetStream, Kafka and Redis, one node and three; writes docs/benchmarks.md
	@tests/bench/run.sh

.PHONY: bench-cluster
bench-cluster: ## The part of the benchmark with three nodes at replication factor 3 (12 minutes); writes its part of docs/benchmarks.md
	@tests/bench/run.sh --parts cluster

.PHONY: bench-quick
bench-quick: ## The benchmark in a few minutes
	@tests/bench/run.sh --quick

.PHONY: crash
crash: ## Every fault of docs/reliability.md, long (FLYMQ_CRASH_ONLY=b1,b12: those alone); writes its table there
	$(CARGO) build --workspace --all-targets
	[ -n "$$FLYMQ_CRASH_ONLY" ] || FLYMQ_CRASH_DOCS=1 $(MAKE) --no-print-directory loom
	FLYMQ_CRASH=long FLYMQ_CRASH_DOCS=1 $(CARGO) test --workspace --test crash -- --nocapture --test-threads=1
	[ -n "$$FLYMQ_CRASH_ONLY" ] || FLYMQ_KILL_CYCLES=200 $(CARGO) test --workspace --test kill

.PHONY: cluster-test
cluster-test: ## Three nodes killed, frozen and cut off from each other, long (FLYMQ_CRASH_ONLY=b2,b15: those alone); writes the cluster's table of docs/reliability.md
	$(CARGO) build --workspace --all-targets
	FLYMQ_CRASH=long FLYMQ_CRASH_DOCS=1 $(CARGO) test --workspace --test cluster -- --nocapture --test-threads=1

.PHONY: loom
loom: ## Models of the watermark and its waiters (server/engine/src/partition/models.rs) in every order that threads can take
	@tests/mutants/run.py --loom

.PHONY: sim
sim: ## Replicas of a partition, whole metadata groups, and transactions, producers and schedules of a broker under 5,000 seeds of faults each (FLYMQ_SIM_SEEDS), the same of three replicated ones under 100 (FLYMQ_SIM_CLUSTERS), and the model of the replicas' rules
	FLYMQ_MODEL_WIDE=1 FLYMQ_SIM_SEEDS=$${FLYMQ_SIM_SEEDS:-5000} \
		$(CARGO) test --release -p flymq-replication --test sim --test meta_sim --test model -- --nocapture
	FLYMQ_SIM_SEEDS=$${FLYMQ_SIM_SEEDS:-5000} $(CARGO) test --release -p flymq-engine --test engine chance -- --nocapture
	FLYMQ_SIM_CLUSTERS=$${FLYMQ_SIM_CLUSTERS:-100} $(CARGO) test --release -p flymq-replication --test driver promises -- --nocapture

.PHONY: mutants
mutants: ## Deliberately broken builds, each caught by a named test (tests/mutants); 13 minutes on two busy cores
	@tests/mutants/run.py --docs

.PHONY: stubs
stubs: ## Generate the Go and TypeScript stubs from proto/
	@.ci/tools.sh buf protoc-gen-go protoc-gen-go-grpc protoc-gen-es
	PATH="$(CURDIR)/$(BIN):$$PATH" $(BIN)/buf generate
