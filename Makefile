# `make help` lists the targets. Each sets up what it needs: the virtual environment for any user, Debian's packages
# for root (others are told which are missing). The test cluster needs root.
SHELL := /bin/bash
.SHELLFLAGS := -eu -o pipefail -c
.DEFAULT_GOAL := help
.DELETE_ON_ERROR:

PYTHON ?= python3
VENV ?= .venv
BIN := $(VENV)/bin
RESULTS ?= .cache/results
PYTEST_ARGS ?=
TESTS ?= tests
PARALLEL ?= -n 3 --dist loadscope
LOCK_ARGS ?=
MUTANTS ?=

.PHONY: help
help: ## this list
	@awk -F':.*## ' '/^[a-z-]+:.*## /{printf "  make %-14s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

# ---- set-up ----------------------------------------------------------------------------------------------------------
.PHONY: venv venv-run
venv: ## the virtual environment for development, hash-locked
	@PYTHON=$(PYTHON) tools/venv $(VENV) requirements/dev.txt

venv-run:
	@PYTHON=$(PYTHON) tools/venv $(VENV) requirements/run.txt

# ---- use -------------------------------------------------------------------------------------------------------------
.PHONY: demo
demo: venv-run ## a bad release, noticed, rolled back, proven and reported, on this machine; no root, no servers
	@$(BIN)/codeblue demo

# ---- development -----------------------------------------------------------------------------------------------------
.PHONY: check
check: venv ## lint, types (of all but the tests), layers, shell scripts
	@tools/packages shellcheck
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy packages/codeblue/src packages/ai-diagnostics/src testbed tools
	$(BIN)/lint-imports --no-logo
	git ls-files -z tools testbed .ci | xargs -0 grep -lZE '^#!.*(ba)?sh' | xargs -0 shellcheck

.PHONY: test-servers
test-servers:
	@tools/packages libfaketime postgresql prometheus prometheus-alertmanager redis-server shellcheck
	@testbed/mongodb/build >/dev/null
	@testbed/unleash/build >/dev/null

.PHONY: test
test: venv test-servers ## the tests that need no cluster, but for the slow ones
	$(BIN)/pytest $(TESTS) --ignore tests/cluster -m "not slow" $(PARALLEL) --durations 10 $(PYTEST_ARGS)

.PHONY: test-slow
test-slow: venv test-servers ## those that wait, kill or replay for many seconds: pager, demo, watchdog, interrupted runs
	$(BIN)/pytest $(TESTS) --ignore tests/cluster -m slow $(PARALLEL) --durations 10 $(PYTEST_ARGS)

.PHONY: test-cluster
test-cluster: venv ## the tests against a real Kubernetes: the testbed's own (root), or KUBECONFIG's test context
	@if [ -z "$${KUBECONFIG:-}" ]; then testbed/kubernetes/up && testbed/kubernetes/image; fi
	@tools/packages postgresql
	@testbed/mongodb/build >/dev/null
	$(BIN)/pytest tests/cluster --durations 15 $(PYTEST_ARGS)

.PHONY: soak
soak: venv ## on the testbed's cluster: 100 random instants of the crash test, and a Prometheus that is dead for 10 minutes
	@testbed/kubernetes/up && testbed/kubernetes/image
	$(BIN)/pytest tests/cluster -k "instants or prometheus_that_dies" --instants 100 --whole-times $(PYTEST_ARGS)

.PHONY: bench
bench: venv ## rollback (on the test cluster), start-up and triggers as ratios against peers in the same run
	@tools/packages prometheus
	@for benchmark in benchmarks/*.py; do echo "== $$benchmark"; $(BIN)/python "$$benchmark"; done

.PHONY: mutants
mutants: venv ## mutation score of rules/, at least 85 % (hours; MUTANTS='codeblue.rules.windows*' for a part)
	@tools/packages prometheus
	@tools/mutants $(BIN) $(MUTANTS)

.PHONY: requirements
requirements: venv ## ids of the specification against the tests that passed in the last runs
	@$(BIN)/python tools/requirements.py $(RESULTS)

.PHONY: lock
lock: venv ## bring the locks in line with what is asked for; LOCK_ARGS=--upgrade takes newer versions
	tools/lock $(BIN)/uv $(LOCK_ARGS)

.PHONY: clean
clean: ## remove what the targets made here (not the testbed's cache)
	find packages testbed tests tools benchmarks -name __pycache__ -prune -exec rm -rf {} +
	rm -rf .venv .venv-* .cache .pytest_cache .mypy_cache .ruff_cache .import_linter_cache .hypothesis codeblue-demo
