# The commands of the house. `make` alone lists them. Works with GNU make 3.81 (macOS) and newer.

PYTHON ?= python3
MODEL ?= fashion@champion
PORT ?= 8000

ifeq ($(OS),Windows_NT)
BIN := .venv/Scripts
else
BIN := .venv/bin
endif
STAMP := .venv/installed
PIP := $(BIN)/python -m pip --disable-pip-version-check
UV_VERSION := 0.13.8

# Installed without byte code (see `install`), each command would compile all that it imports, every time, where this is
# set: half a second of a server's start, seconds of whatever imports torch.
unexport PYTHONDONTWRITEBYTECODE

.DEFAULT_GOAL := help
.NOTPARALLEL:
.PHONY: help install demo test lint types format docs unit serve ui bench scan-dependencies scan-secrets freeze lock \
  upgrade clean

help: ## List these commands
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "  make %-17s %s\n", $$1, $$2 }' Makefile

install: $(STAMP) ## Create .venv and install what is pinned, once

# --no-deps: the lock is complete, so nothing is resolved here. --no-compile: byte code is written when a module is first
# imported; compiling all of it takes longer than the installation and most of it is never imported.
# --no-build-isolation: the build tools are in the lock too.
$(STAMP): requirements.lock requirements-torch.txt pyproject.toml
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || { \
	  echo "$(PYTHON) is missing or older than Python 3.11. Next: make install PYTHON=python3.12" >&2; exit 1; }
	@test -x $(BIN)/python || $(PYTHON) -m venv .venv
	@echo "Installing into .venv; this takes a minute or two and happens once."
	@rm -f $(STAMP)
	@$(PIP) install --quiet --no-compile --require-hashes --no-deps -r requirements.lock
	@$(PIP) install --quiet --no-compile -r requirements-torch.txt
	@$(PIP) install --quiet --no-deps --no-build-isolation --editable .
	@$(PIP) check
	@touch $(STAMP)

demo: install ## Run the whole loop on Fashion-MNIST and write a page about it
	@$(BIN)/loopline demo

test: lint types docs unit ## Lint, check types, build the docs, run the tests with coverage

lint: install ## Check style, format and layers
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/lint-imports

types: install ## Check types
	$(BIN)/mypy

format: install ## Put the code into its format
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

docs: install ## Build the docs into docs/_build/html, warnings are errors
	$(BIN)/sphinx-build -W -n --keep-going -q -b html docs docs/_build/html

# A process per core, at most four; a file's tests stay together, for they share what is slow to make.
unit: install ## Run the tests with coverage only
	$(BIN)/pytest --numprocesses logical --maxprocesses 4 --dist loadfile --cov --cov-report=term

serve: install ## Serve MODEL (default fashion@champion) on PORT (default 8000)
	$(BIN)/loopline serve $(MODEL) --port $(PORT)

ui: install ## Serve MODEL with its page
	$(BIN)/loopline ui $(MODEL) --port $(PORT)

bench: install ## Run the whole loop and the benchmark of drift, into build/bench
	@mkdir -p build/bench
	$(BIN)/loopline demo > build/bench/demo.txt
	$(BIN)/python benchmarks/drift/run.py --bundle latest > build/bench/drift.txt

scan-dependencies: install ## Look for known holes in what is pinned
	$(BIN)/pip-audit --requirement requirements.lock --disable-pip --require-hashes

scan-secrets: install ## Look for secrets in the files and in the whole history
	$(BIN)/loopline audit --only Secrets

freeze: install ## Accept the present exported names and command-line flags
	FREEZE=1 $(BIN)/pytest -q tests/test_surface.py

# The lock is universal: one file for Linux, macOS, Windows and every Python from 3.11.
lock: ## Pin again after pyproject.toml changed; pins that still fit are kept
	@rm -rf build/lock && $(PYTHON) -m venv build/lock
	@$(subst .venv,build/lock,$(PIP)) install --quiet uv==$(UV_VERSION)
	@$(subst .venv,build/lock,$(BIN))/uv pip compile pyproject.toml --extra dev --constraint requirements-torch.txt \
	  --universal --python-version 3.11 --fork-strategy fewest --generate-hashes --no-emit-package torch \
	  --no-annotate --custom-compile-command "make lock" --quiet $(UPGRADE) --output-file requirements.lock
	@rm -rf build/lock

upgrade: ## Pin the newest versions that fit
	@$(MAKE) lock UPGRADE=--upgrade

clean: ## Remove what was built, never .venv nor the workspace
	rm -rf build dist docs/_build htmlcov .coverage .coverage.* .pytest_cache .mypy_cache .ruff_cache .import_linter_cache
