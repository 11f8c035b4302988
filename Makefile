PYTHON ?= python3
# The pip that makes the environments, if it shall be another than the interpreter's own.
WITH_PIP ?=
# What runs a pipeline, and what tests and develops it: the second has twice the size.
RUNTIME := .venv
DEVELOPMENT := .venv-dev
BIN := $(DEVELOPMENT)/bin
PIPELINE ?= examples/clickstream.yaml
PURCHASES ?= $(CLOUDSCALE_PURCHASES)
SCENARIO ?=
# Of the next release, for `make version`.
VERSION ?=
# Any value makes `make lock` take the newest versions instead of those that it has.
UPGRADE ?=
RESOLVE := uv pip compile $(if $(UPGRADE),--upgrade) --quiet --universal --fork-strategy fewest --python-version 3.11 --generate-hashes --no-header --no-annotate --no-emit-index-url --no-strip-extras

# Without a network, from the pages and the code. Nothing of it is kept between runs but what did not change.
SITE = $(BIN)/python -m sphinx --quiet --fail-on-warning --keep-going --builder html docs docs/_build

# More processes than two processors, because many tests wait for something; not more, because each has to collect all
# tests and to start servers of its own, ten seconds of a processor. tests/file_durations.py puts long files first.
IN_PARALLEL := tests -m 'not alone' -p no:pytest-kind --numprocesses 6 --dist loadfile --no-loadscope-reorder
ALONE := tests -m alone

# The tests start hundreds of processes; none should have to compile what another has compiled.
unexport PYTHONDONTWRITEBYTECODE

.DEFAULT_GOAL := help

export PYTHON WITH_PIP

$(RUNTIME)/.installed: requirements/runtime.lock requirements/build.lock requirements/install.sh pyproject.toml
	requirements/install.sh $(RUNTIME) requirements/runtime.lock requirements/build.lock
	@touch $@

$(DEVELOPMENT)/.installed: requirements/dev.lock requirements/install.sh pyproject.toml
	requirements/install.sh $(DEVELOPMENT) requirements/dev.lock
	@touch $@

.PHONY: help install install-dev run test test-fast lint lint-workflows docs docs-serve format lock version wheel coverage replay-all bench bench-comparison guard screenshots cluster cluster-down bench-kind e2e crds clean

help:  ## what can be made
	@grep -hE '^[a-z0-9-]+:.*##' $(MAKEFILE_LIST) | sed -E 's/^([a-z0-9-]+):.*## /\1\t/' | expand -t 16

install: $(RUNTIME)/.installed  ## create the locked environment that runs pipelines, in .venv

install-dev: $(DEVELOPMENT)/.installed  ## create the locked environment of the tests and tools, in .venv-dev

run: install  ## run the pipeline of examples/clickstream.yaml on this machine (PIPELINE=FILE for another)
	$(RUNTIME)/bin/cloudscale run $(PIPELINE)

test: install-dev  ## every test that needs no cluster
	@echo 'Running the tests, six at a time, and the longest files first.'
	$(BIN)/pytest $(IN_PARALLEL)
	@echo 'Running the few tests that need the processors for themselves, one after the other.'
	$(BIN)/pytest $(ALONE)

test-fast: install-dev  ## the tests without the integration tests
	$(BIN)/pytest $(IN_PARALLEL) --ignore tests/integration

coverage: install-dev  ## the same tests with their coverage, which must be 90 %; line by line in htmlcov/
	rm -f .coverage .coverage.*
	$(BIN)/pytest $(IN_PARALLEL) --numprocesses 5 --timeout 300 --cov --cov-report=term --cov-report=html --cov-fail-under=90
	$(BIN)/pytest $(ALONE)

lint: install-dev lint-workflows  ## style, types, layers, workflows, and that generated files are up to date
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy apps operator tests e2e bench release docs
	$(BIN)/lint-imports
	$(BIN)/cloudscale schema | diff - crds/eventpipelines.yaml
	$(SITE)

docs: install-dev  ## the documentation's site, in docs/_build: a warning or a dead link is an error
	$(SITE)
	@echo 'The site is in docs/_build; make docs-serve shows it.'

docs-serve: docs  ## the site at http://127.0.0.1:8000, until Ctrl-C
	$(BIN)/python -m http.server --bind 127.0.0.1 --directory docs/_build 8000

lint-workflows: install-dev  ## the workflows alone: are they well-formed and safe?
	requirements/actionlint/check.sh $(BIN)
	$(BIN)/zizmor --offline --quiet --no-progress .github

format: install-dev  ## bring the source into its form
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

crds: install  ## write crds/ and the chart's copy anew from the models
	$(RUNTIME)/bin/cloudscale schema > crds/eventpipelines.yaml
	cp crds/eventpipelines.yaml charts/cloudscale/files/

lock:  ## resolve the dependencies of pyproject.toml anew (needs uv; UPGRADE=1 takes the newest)
	$(RESOLVE) --extra dev pyproject.toml -o requirements/dev.lock
	$(RESOLVE) --extra apps --extra archive --extra operator --extra tracing pyproject.toml -o requirements/runtime.lock
	printf 'hatchling>=1.27\neditables>=0.5\n' | $(RESOLVE) --constraints requirements/runtime.lock - -o requirements/build.lock

version:  ## write a version everywhere and date the changelog (VERSION=1.2.3)
	$(PYTHON) -m release prepare "$(VERSION)"

wheel: install-dev  ## what is published on the package index, into dist/
	$(BIN)/python -m hatchling build --target wheel --target sdist

replay-all: install-dev  ## replay all 69,659 purchases of PURCHASES, twice, and compare what is stored with the file
	@test -f "$(PURCHASES)" || { echo "$(PURCHASES) is not there: name a file by PURCHASES=FILE, README says which" >&2; exit 1; }
	$(BIN)/python -m bench.replay "$(PURCHASES)"

bench: install-dev  ## run the load scenarios and record their results (SCENARIO=NAME for one; needs oha, see bench/README.md)
	$(BIN)/python -m bench run $(SCENARIO)

bench-comparison: install-dev  ## the same load on CloudScale, on a bare handler and on Benthos (needs oha and go)
	$(BIN)/python -m bench comparison

guard: install-dev  ## has the pipeline become slower, compared with a handler that only parses? (needs wrk)
	$(BIN)/python -m bench.guard

screenshots: install-dev  ## pictures of the dashboard's pages, into docs/screenshots (needs chromium)
	$(BIN)/python -m tests.browser.screenshots docs/screenshots

cluster:  ## a kind cluster with KEDA, the backends, the operator and a sample pipeline
	kind/up.sh

cluster-down:  ## delete that cluster
	kind/down.sh

bench-kind: install-dev  ## the sustained load against a pipeline pinned to one node of a kind cluster, which stays afterwards
	$(BIN)/python -m bench.kind

e2e: install-dev  ## the tests on a kind cluster of their own
	$(BIN)/pytest e2e --log-cli-level=INFO --timeout=900

clean:  ## remove the environments and what the tools leave behind; the data in .cloudscale stays
	rm -rf $(RUNTIME) $(DEVELOPMENT) .mypy_cache .ruff_cache .pytest_cache .hypothesis .import_linter_cache .coverage .coverage.* htmlcov dist docs/_build docs/reference
