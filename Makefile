# The targets are told by `make help`. Nothing but python3.11, pip and make is needed; make test may call apt.

PYTHON ?= python3
PORT ?= 8080
ARCHIVE_HOME ?= demo-home
BENCH_DATA ?= ../shared/data
WORKERS ?= 2

VENV := .venv
BIN := $(VENV)/bin
FELIS := .venv-felis
PYTEST := $(BIN)/python -m pytest
CODE := archive tests scripts bench setup.py wsgi.py

export PIP_DISABLE_PIP_VERSION_CHECK = 1
export BENCH_DATA

.PHONY: help demo check lint types test soak bench requirements sample clean

help:  ## this list
	@awk -F ':.*## ' '/^[a-z]+:.*## / { printf "make %-13s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

demo: $(VENV)/.package  ## a running archive with real stars on http://127.0.0.1:$(PORT)/ (PORT=, ARCHIVE_HOME=)
	@ARCHIVE_HOME="$(ARCHIVE_HOME)" PORT="$(PORT)" scripts/demo.sh $(BIN)

check: lint types $(VENV)/.tests  ## lint, types and the fast tests (under 4 minutes)
	$(PYTEST) -q -n $(WORKERS) -m "not service and not soak"

lint: $(VENV)/.tests
	$(BIN)/ruff check $(CODE)
	$(BIN)/ruff format --check $(CODE)

types: $(VENV)/.tests
	$(BIN)/mypy

test: $(VENV)/.tests $(FELIS)/.installed  ## everything CI runs; installs the programs tests need (apt) when absent
	scripts/test-needs.sh
	$(MAKE) lint types
	$(PYTEST) -n $(WORKERS)

soak: $(VENV)/.tests $(FELIS)/.installed  ## long runs: many random examples, a demo from a fresh clone
	scripts/test-needs.sh
	$(PYTEST) -n $(WORKERS) -o faulthandler_timeout=0 -m soak
	$(PYTEST) -n $(WORKERS) -o faulthandler_timeout=0 -m "not service and not soak" --hypothesis-profile=soak

bench: $(VENV)/.tests  ## every claim about speed, measured (BENCH_DATA=, default ../shared/data)
	$(BIN)/python -m bench

requirements: $(VENV)/.tests  ## write docs/requirements.md from the marks on tests
	$(BIN)/python scripts/requirements.py

sample: $(VENV)/.tests  ## make the shipped sample again from $(BENCH_DATA)
	$(BIN)/python scripts/make_sample.py
	$(BIN)/python scripts/make_images.py

clean:  ## remove the demo and what tools left behind (the virtual environments stay; `rm -r .venv .venv-felis`)
	rm -rf demo-home build dist *.egg-info .pytest_cache .mypy_cache .ruff_cache .hypothesis
	find archive tests scripts bench -name __pycache__ -type d -prune -exec rm -rf {} +

# Stamps: pip runs only when what it would read has changed.
$(VENV)/bin/python:
	scripts/venv.sh "$(PYTHON)" $(VENV)

$(VENV)/.package: requirements.lock pyproject.toml | $(VENV)/bin/python
	scripts/venv.sh "$(PYTHON)" $(VENV) -r requirements.lock -c requirements-test.lock pyvo
	scripts/venv.sh "$(PYTHON)" $(VENV) --no-build-isolation --no-deps --editable .
	@touch $@

$(VENV)/.tests: requirements-test.lock $(VENV)/.package
	scripts/venv.sh "$(PYTHON)" $(VENV) -r requirements.lock -r requirements-test.lock
	@touch $@

$(FELIS)/.installed: requirements-felis.lock
	scripts/venv.sh "$(PYTHON)" $(FELIS)
	scripts/venv.sh "$(PYTHON)" $(FELIS) -r requirements-felis.lock
	@touch $@
