# What a fresh machine needs is Python 3.11 or newer and make; everything else is fetched into .venv and a cache folder.

PYTHON ?= python3
UV_VERSION := 0.13.8
export UV_PYTHON_DOWNLOADS := never
export UV_PROJECT_ENVIRONMENT := .venv

BIN := .venv/bin
READY := .venv/.ready

# Test files side by side: most of them wait for Kafka and the store. Each worker starts its own.
WORKERS ?= 4

.DEFAULT_GOAL := help
.PHONY: help demo test test-long check bench synth clean

help: ## show this text
	@grep -hE '^[a-z-]+:.*## ' $(MAKEFILE_LIST) | sed -E 's/:.*## /\t/' | expand -t 14

demo: $(READY) ## the whole story on this machine: backup, loss, restore, erasure (DEMO="--keep" leaves it running)
	@$(BIN)/millpond demo $(DEMO)

test: check ## every test, with a few rounds of the random faults
	$(BIN)/python -m pytest tests --ignore=tests/unit -n $(WORKERS) --dist loadfile --no-loadscope-reorder

test-long: $(READY) ## the random faults again and again: ROUNDS=30
	MILLPOND_FAULT_ROUNDS=$(or $(ROUNDS),30) $(BIN)/python -m pytest tests/faults --timeout 7200

check: $(READY) ## format, lint, types, direction of imports, unit tests
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy
	$(BIN)/lint-imports
	$(BIN)/python -m pytest tests/unit -n 2

bench: $(READY) ## speed beside plain loops, in one run (BENCH="--records 500000")
	$(BIN)/python -m tests.bench $(BENCH)

synth: $(READY) ## the CloudFormation templates, without Docker or an AWS account
	$(BIN)/python -m local cdk synth --quiet

clean: ## remove what was made here; the cache folder of the user stays
	rm -rf .venv cdk.out build dist .pytest_cache .mypy_cache .ruff_cache .hypothesis .import_linter_cache *.egg-info
	rm -f millpond/archive/_codec.*.so
	find . -name __pycache__ -type d -prune -exec rm -rf {} +

$(READY): pyproject.toml uv.lock hatch_build.py native/compiling.py native/codec.c
	@$(PYTHON) -c 'import sys; sys.exit("Millpond needs Python 3.11 or newer; set PYTHON=/path/to/python3" if sys.version_info < (3, 11) else 0)'
	@test -x $(BIN)/python || $(PYTHON) -m venv .venv
	@test -x $(BIN)/uv || $(BIN)/python -m pip install --quiet --disable-pip-version-check uv==$(UV_VERSION)
	@$(BIN)/uv sync --frozen --quiet
	@$(BIN)/python native/compiling.py
	@touch $@
