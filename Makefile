# Two commands do all the set-up: `make demo` and `make test`. `make help` lists the others.
SHELL := /bin/sh
VENV := .venv
BIN := $(VENV)/bin
# The first Python of a version that the tests have run on; PYTHON=… chooses another.
PYTHON ?= $(shell for p in python3 python3.13 python3.12 python3.11; do \
	$$p -c 'import sys; sys.exit(not (3, 11) <= sys.version_info < (3, 14))' 2>/dev/null && { echo $$p; break; }; done)
UV := $(shell command -v uv 2>/dev/null)
# Kinds of tests to run, for `make test KIND=unit`.
KIND ?=
# A file of tests a core and one more, each with servers of its own: most tests wait for processes. In
# their order, which ends with the short ones, so that no core waits long for another.
parallel := --numprocesses=$$(($$(nproc) + 1)) --maxprocesses=4 --dist=loadfile --no-loadscope-reorder

ifdef UV
create_venv = $(UV) venv --quiet --allow-existing --python $(PYTHON) $(VENV)
# Bytecode at once, as pip makes it: else every process would compile what none may write.
install = $(UV) pip install --quiet --compile-bytecode --python $(BIN)/python
else
create_venv = $(PYTHON) -m venv $(VENV)
install = $(BIN)/python -m pip install --quiet --disable-pip-version-check
endif

.PHONY: help
help: ## List the commands.
	@grep -E '^[a-z-]+:.*## ' $(MAKEFILE_LIST) | sed -E 's/:.*## /\t/' | expand -t 16

.PHONY: demo
demo: $(VENV)/.demo ## Train the digits of Data/ on an embedded stack and show the result.
	@$(BIN)/fornada run specs/digits.yaml

.PHONY: test
test: lint types contracts $(VENV)/.dev ## Run everything CI runs (KIND=unit for one kind).
	$(BIN)/pytest $(parallel) tests/$(KIND)

# Apart from `make test`: what traces each line takes a third of the processor time again, and the table
# fails nothing.
.PHONY: coverage
coverage: $(VENV)/.dev ## Run the tests traced, and print which lines they reach (KIND=unit for one kind).
	$(BIN)/pytest $(parallel) tests/$(KIND) --cov --cov-report=term

# Whole sizes, then once more while every core is kept busy by something else.
.PHONY: faults
faults: $(VENV)/.dev ## Inject every fault of docs/reliability.md (FULL=1: at whole size, and under load).
	$(if $(FULL),FORNADA_TEST_FULL=1) $(BIN)/pytest $(parallel) tests/faults
	$(if $(FULL),@trap 'kill $$busy' EXIT; \
		for core in $$(seq $$(nproc)); do (while :; do :; done) & busy="$$busy $$!"; done; \
		echo "once more with $$(nproc) cores busy"; $(BIN)/pytest $(parallel) tests/faults)

# The same seed, the same schedule; what happened is left in .chaos when something is wrong.
MINUTES ?= 20
SEED ?= 1
.PHONY: chaos
chaos: $(VENV)/.dev ## Play faults at random over real jobs, on each database (MINUTES=20 SEED=1).
	@for database in sqlite postgres; do $(BIN)/python -m tests.faults.chaos \
		$$database $$(($(MINUTES) * 60)) $(SEED) .chaos/$$database-$(SEED) || exit 1; done

# One table each, in this order; FULL=1 for a million jobs of history, DATA=… for MNIST's own images,
# `make bench-epochs OPTIONS="--rounds 1"` for one of them, with options of its own.
OUT ?= build/bench
BENCHES := epochs job sweep queueing history packs state
bench_options = --out $(OUT) $(if $(filter epochs job packs,$*),$(if $(DATA),--data $(DATA)))
.PHONY: bench $(BENCHES:%=bench-%)
bench: $(BENCHES:%=bench-%) ## Run every benchmark: tables, JSON and plots in build/bench (OUT=…), hours.
	$(BIN)/python -P -m bench.page $(OUT) $(OUT)/performance.md
$(BENCHES:%=bench-%): bench-%: $(VENV)/.torch
	$(if $(FULL),FULL=1) $(BIN)/python -P -m bench.$* $(bench_options) $(OPTIONS)

.PHONY: lint
lint: $(VENV)/.dev ## Check style.
	$(BIN)/ruff check
	$(BIN)/ruff format --check

.PHONY: types
types: $(VENV)/.dev ## Check types.
	$(BIN)/mypy

.PHONY: contracts
contracts: $(VENV)/.dev ## Check which way imports point.
	$(BIN)/lint-imports

.PHONY: docs
docs: $(VENV)/.dev ## Write the reference pages again from their sources.
	$(BIN)/python -P -m fornada.cli.reference docs
	$(BIN)/python -P -m fornada.worker.trainer.model.signatures
	$(BIN)/python -P -m fornada.spec docs

.PHONY: picture
picture: $(VENV)/.dev ## Draw the terminal of the README again, by a real `make demo`.
	$(BIN)/python -P docs/picture.py make demo

.PHONY: compose-test
compose-test: ## Run docker-compose.yml end to end on a Docker engine.
	sh tests/compose/run.sh

# Packages with versions and hashes; no index address, so pip and uv find them wherever they are set up to.
# Extras stay named: without them pip 23.2 looks past the lock for the newest release of such a package.
.PHONY: lock
lock: ## Resolve the lock files again; needs uv.
	$(compile) -o lock/client.txt
	$(compile) --extra worker -o lock/worker.txt
	$(compile) --extra worker --extra cuda -o lock/worker-cuda.txt
	$(compile) --extra worker --extra jax -o lock/worker-jax.txt
	$(compile) --extra worker --extra embedded --group build -o lock/demo.txt
	$(compile) --extra worker --extra jax --extra embedded --group dev -o lock/dev.txt
	$(compile) --extra worker --extra jax --extra embedded --group bench --constraint lock/dev.txt -o lock/bench.txt
	$(patsubst pyproject.toml,,$(compile)) --group build -o lock/build.txt
compile = uv pip compile --quiet --universal --generate-hashes --no-strip-extras --no-header --no-annotate \
	--python-version 3.11 pyproject.toml

.PHONY: clean
clean: ## Remove what the commands above made.
	rm -rf $(VENV) build dist .coverage .mypy_cache .ruff_cache .pytest_cache .import_linter_cache .hypothesis .chaos

# A stamp for each lock: pip runs again only when the lock or the project's metadata changed.
$(VENV)/.demo $(VENV)/.dev $(VENV)/.bench: $(VENV)/.%: lock/%.txt pyproject.toml
	@test -n "$(PYTHON)" || { echo "Python 3.11, 3.12 or 3.13 is needed; name one with PYTHON=…" >&2; exit 1; }
	@echo "Installing lock/$*.txt into $(VENV) (TensorFlow is large: a few minutes the first time)"
	@$(create_venv)
	@$(install) --require-hashes -r lock/$*.txt
	@$(install) --no-deps --no-build-isolation -e .
	@touch $@

# On Linux the registry's build of PyTorch brings 3 GB of CUDA, which this does not need.
$(VENV)/.torch: $(VENV)/.bench
	@$(install) torch==2.13.0+cpu || echo "No CPU build of PyTorch here: the tables lack its rows" >&2
	@touch $@
