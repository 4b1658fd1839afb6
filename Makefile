# Two commands do everything on a fresh machine: `make demo` and `make test`.
# They need Linux, Python 3.11 or later, make and git; the rest is fetched, checked by hash and built.
SHELL := /bin/bash
.SHELLFLAGS := -euo pipefail -c
.DEFAULT_GOAL := help
.PHONY: help env tools demo test test-unit test-cluster test-mesh test-long seed check gen lock bench clean

VENV := .venv
BIN := $(VENV)/bin
ENV := $(VENV)/.complete
PYTHON ?= python3
export PYTHONPATH := .:tests
# Compiled once for all workers, and never beside the sources; uv compiles nothing at install.
export PYTHONPYCACHEPREFIX := $(abspath $(VENV))/pycache
unexport PYTHONDONTWRITEBYTECODE
# With sudo none at all: the user could not delete it.
ifdef SUDO_USER
export PYTHONDONTWRITEBYTECODE := 1
endif

help: ## Show this list
	@echo "Start with: make demo"
	@grep -E '^[a-z-]+:.*##' $(MAKEFILE_LIST) | sed -E 's/:.*## /\t/' | expand -t 14

$(ENV): requirements/dev.lock pyproject.toml
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null || { \
	  echo "egress-operator needs Python 3.11 or later; $(PYTHON) is $$($(PYTHON) -V 2>/dev/null || echo missing). Use: make PYTHON=python3.12 …" >&2; exit 1; }
	@$(PYTHON) -c 'import ensurepip, venv' 2>/dev/null || { \
	  echo "egress-operator needs Python's venv; on Debian and Ubuntu: apt install python3-venv" >&2; exit 1; }
	@echo "environment: creating $(VENV) from requirements/dev.lock, hashes checked (10 to 40 s)"
	@# pip installs uv alone, uv the rest in a fraction of pip's time. pip remains for machines where
	@# only pip's configuration names the package index.
	@# The temporary directory goes with the environment, whenever somebody ends this.
	@start=$$SECONDS; \
	mkdir -p $(VENV)/tmp && export TMPDIR=$(abspath $(VENV))/tmp; \
	pip="$(BIN)/python -m pip install --quiet --disable-pip-version-check"; \
	uv="$(BIN)/uv pip install --quiet --system-certs --python $(BIN)/python"; \
	$(PYTHON) -m venv $(VENV) && \
	$$pip --no-compile --require-hashes -r <(awk '/^[^ ]/ { wanted = /^uv==/ } wanted' requirements/dev.lock) && \
	{ $$uv --require-hashes -r requirements/dev.lock || { \
	  echo "environment: uv cannot reach the package index; pip tries, which takes about two minutes" >&2; \
	  $$pip --require-hashes -r requirements/dev.lock; }; } && \
	$$uv --no-deps --no-build-isolation -e . && \
	rm -rf $(VENV)/tmp && touch $@ && \
	{ [ $$(id -u) != 0 ] || [ -z "$${SUDO_UID:-}" ] || chown -R "$$SUDO_UID:$$SUDO_GID" $(VENV); } && \
	echo "environment: ready after $$((SECONDS - start)) s"

env: $(ENV) ## Create the Python environment from the lock

tools: $(ENV) ## Find or build etcd, kube-apiserver, istiod and the rest (15 minutes the first time)
	@$(BIN)/python -m testbed.tools

demo: $(ENV) ## Play the demo (ONCE=1: end by itself; ALL=1: every sample in full; VERBOSE=1: every object with its name)
	@$(BIN)/python -m demo $(if $(ONCE),--once) $(if $(ALL),--all) $(if $(VERBOSE),--verbose)

# Another order of the tests and other random policies each time: a failure may hang on either.
export EGRESS_SEED := $(or $(EGRESS_SEED),$(shell date +%s))
PYTEST = $(BIN)/python -m pytest -q --randomly-seed=$(EGRESS_SEED) --hypothesis-seed=$(EGRESS_SEED) \
  --dist loadfile --no-loadscope-reorder
# Three workers on two cores, because they wait now and then.
PLAIN := -m "not mesh" -n 3
UNIT := -m "not cluster and not mesh" -n 3
CLUSTER := -m "cluster and not mesh" -n 3
# Each worker has a network of its own, and a mesh in it.
MESH := -m "mesh" tests/mesh --tx '2*popen//python=$(BIN)/python -I -S -B testbed/sandbox.py $(BIN)/python'
CHOSEN := $(or $(strip $(PARTS)),all)

# Nothing runs beside the tests with a mesh: they measure requests under load.
test: tools check seed ## The gate: checks, unit and cluster tests, then those with a mesh (about 22 minutes)
	@$(PYTEST) $(PLAIN) && plain=0 || plain=$$?; $(PYTEST) $(MESH) && exit $$plain

test-unit: $(ENV) seed ## The tests that need neither an API server nor a mesh
	@$(PYTEST) $(UNIT)

test-cluster: tools seed ## The tests with an API server
	@$(PYTEST) $(CLUSTER)

test-mesh: tools seed ## The tests with a mesh (as root)
	@$(PYTEST) $(MESH)

test-long: tools seed ## The long-running tests (PARTS="load kill", else all of them)
	@# A part may have no test in one of the halves, but not in both: pytest ends with 5 then.
	@$(PYTEST) --parts "$(CHOSEN)" $(PLAIN) && plain=0 || plain=$$?; \
	[ $$plain -eq 0 ] || [ $$plain -eq 5 ] || exit $$plain; \
	$(PYTEST) --parts "$(CHOSEN)" $(MESH) && mesh=0 || mesh=$$?; \
	[ $$mesh -eq 5 ] && [ $$plain -eq 0 ] || exit $$mesh

seed:
	@echo "EGRESS_SEED=$(EGRESS_SEED) gives this order of the tests, and these random policies and faults again"

check: $(ENV) ## Format, lint, types, layers, generated files
	@$(BIN)/ruff format --check --quiet . && echo "format: fine"
	@$(BIN)/ruff check --quiet . && echo "lint: fine"
	@$(BIN)/mypy --no-error-summary && echo "types: fine"
	@report=$$($(BIN)/lint-imports 2>&1) && echo "layers: fine" || { echo "$$report"; exit 1; }
	@$(BIN)/python -m tools.generate --check && echo "generated files: fine"

gen: $(ENV) ## Write the generated files: CRDs, schemas, deploy manifests, reference pages
	@$(BIN)/python -m tools.generate

lock: $(ENV) ## Renew the locked requirements
	@for set in run "dev --group dev"; do set -- $$set; name=$$1; shift; \
	  $(BIN)/uv pip compile --quiet --universal --generate-hashes --no-annotate --no-header --upgrade \
	    --python-version 3.11 "$$@" pyproject.toml -o requirements/$$name.lock; done

bench: tools ## Measure the operator beside a raw client and print a table
	@$(BIN)/python -m bench

clean: ## Remove the environment and caches of this checkout
	@rm -rf $(VENV) .mypy_cache .ruff_cache .pytest_cache .hypothesis
