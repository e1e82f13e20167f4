# The one door to every task: bare `make` prints this help.

PYTHON ?= $(shell command -v python3.11 || command -v python3)
BIN := .venv/bin
export TIDEMILL_PARTS ?= $(CURDIR)/.tidemill/parts
PACKAGES := libs services deploy/local tools examples tests benchmarks
SOURCES = $(wildcard $(PACKAGES))
TESTS = $(patsubst %/,%,$(sort $(dir $(wildcard libs/*/tests/*.py services/*/tests/*.py \
          deploy/*/tests/*.py tools/tests/*.py examples/*/tests/*.py tests/integration/*.py \
          benchmarks/*.py))))

hash = $(shell cat $(1) | sha256sum | cut -c1-16)
DEPENDENCIES := .venv/.dependencies-$(call hash,constraints.txt)
KERNELS := .venv/.kernels-$(call hash,libs/tiles/tidemill_tiles/kernels/*.py constraints.txt)
EDITABLE := .venv/.editable-$(call hash,pyproject.toml constraints.txt)

.DEFAULT_GOAL := help
.PHONY: help install environment parts format lint types protos check unit test integration explore \
        chaos demo bench bench-peers up down logs clean

##@ Set-up
help: ## print this help
	@awk 'BEGIN {FS = ":.*## "; print "make <target>"} \
	  /^##@ / {printf "\n%s\n", substr($$0, 5)} \
	  /^[a-z-]+:.*## / {printf "  %-12s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

install: environment $(KERNELS) parts ## the environment and the parts of the local stack; quick when done

environment: $(EDITABLE)

$(DEPENDENCIES): constraints.txt
	test -x $(BIN)/python || $(PYTHON) -m venv .venv
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --no-deps -r constraints.txt
	rm -f .venv/.dependencies-*
	touch $@

$(EDITABLE): $(DEPENDENCIES)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --no-deps \
	  --no-build-isolation --editable .
	$(BIN)/python -m pip check
	rm -f .venv/.editable-*
	touch $@

$(KERNELS): $(EDITABLE)
	$(BIN)/python -c "from tidemill_tiles import kernels; kernels.warm_up()"
	rm -f .venv/.kernels-*
	touch $@

parts: environment
	$(BIN)/python -m tidemill_local install

##@ While writing
format: environment ## format the code and fix what can be fixed
	$(BIN)/ruff format $(SOURCES)
	$(BIN)/ruff check --fix $(SOURCES)

protos: environment ## generate the Python messages from protos/
	$(BIN)/python tools/generate_protos.py

lint: environment ## style, forbidden words and the direction of imports
	$(BIN)/ruff format --check $(SOURCES)
	$(BIN)/ruff check $(SOURCES)
	$(BIN)/lint-imports --no-logo
	$(BIN)/python tools/check_words.py

types: environment ## mypy --strict on sources and tests
	$(BIN)/mypy
	$(BIN)/mypy --explicit-package-bases $(TESTS)
	$(BIN)/mypy examples/flights/*.py tools/*.py conftest.py

##@ Before committing
check: lint types unit ## everything that needs no server
	$(BIN)/python tools/check_protos.py
	$(BIN)/python tools/check_deploy.py

unit: environment ## the tests that need no server, on every core
	$(BIN)/pytest -q -m "not stack" -n logical --dist loadfile

test: install unit ## every test; those on the real parts one after another
	$(BIN)/pytest -q -m stack --require-infrastructure

integration: install ## only the tests on the real parts
	$(BIN)/pytest -q -m stack --require-infrastructure

explore: environment ## the property tests on new and many examples, every test in a new order
	$(BIN)/pytest -q -m "not stack" --hypothesis-profile=explore --randomly-seed=$$(date +%s) $(ARGS)

chaos: install ## every fault and every known mistake, 20 minutes; writes docs/chaos.md
	$(BIN)/python -m tests.chaos $(ARGS)

##@ Running
demo: install ## the flights of New York 2013: the whole loop on real data
	$(BIN)/python examples/flights/demo.py $(ARGS)

bench: install ## measure what the README states
	$(BIN)/python -m benchmarks $(ARGS)

bench-peers: install ## measure beside other engines (docs/benchmarks.md)
	$(BIN)/python -m benchmarks.peers $(ARGS)

up: install ## start the stack and stay (Ctrl-C stops it)
	$(BIN)/python -m tidemill_local up $(ARGS)

down: ## stop the stack
	$(BIN)/python -m tidemill_local down $(ARGS)

logs: ## follow the logs of the stack
	tail -n 20 -F .tidemill/logs/*.log

clean: ## forget everything: environment, parts, data, caches
	test ! -x $(BIN)/python || $(BIN)/python -m tidemill_local down --quiet || true
	rm -rf .venv .tidemill demo build dist .mypy_cache .ruff_cache .pytest_cache .hypothesis \
	  .import_linter_cache
	find . -name __pycache__ -type d -prune -exec rm -rf {} +
