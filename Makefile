# `make demo` and `make test` do all the set-up by themselves. `make help` lists the other commands.
SHELL := /bin/sh
VENV := .venv
BIN := $(VENV)/bin
# The first Python found in a supported version. PYTHON=… chooses another.
PYTHON ?= $(shell for p in python3 python3.13 python3.12 python3.11; do \
	$$p -c 'import sys; sys.exit(not (3, 11) <= sys.version_info < (3, 14))' 2>/dev/null && { echo $$p; break; }; done)
UV := $(shell command -v uv 2>/dev/null)
# Kinds of tests to run, for `make test KIND=unit`.
KIND ?=
# Each pytest process runs one file of tests at a time, with servers of its own. There are two more
# processes than cores, because most tests wait for other processes. The files run in the order in which
# they are collected: the short ones come last, so that all processes end at nearly the same time.
parallel := --numprocesses=$$(($$(nproc) + 2)) --maxprocesses=4 --dist=loadfile --no-loadscope-reorder

ifdef UV
create_venv = $(UV) venv --quiet --allow-existing --python $(PYTHON) $(VENV)
# Compiles to bytecode at once, as pip does; otherwise each process would compile the modules again.
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
	@echo
	@echo "Look back: . $(VENV)/bin/activate; fornada ls; fornada show @last; fornada metrics @last"
	@echo "Go on: change specs/digits.yaml and fornada run it; docs/quickstart.md takes your own images"

.PHONY: test
test: lint types contracts $(VENV)/.dev ## Run everything CI runs (KIND=unit for one kind).
	$(BIN)/pytest $(parallel) tests/$(KIND)

# Not part of `make test`: tracing takes a third more processor time, and the table cannot fail.
.PHONY: coverage
coverage: $(VENV)/.dev ## Run the tests traced, and print which lines they reach (KIND=unit for one kind).
	$(BIN)/pytest $(parallel) tests/$(KIND) --cov --cov-report=term

# With FULL=1: at whole size, then once more while another program keeps every core busy.
.PHONY: faults
faults: $(VENV)/.dev ## Inject every fault of docs/reliability.md (FULL=1: at whole size, and under load).
	$(if $(FULL),FORNADA_TEST_FULL=1) $(BIN)/pytest $(parallel) tests/faults
	$(if $(FULL),@trap 'kill $$busy' EXIT; \
		for core in $$(seq $$(nproc)); do (while :; do :; done) & busy="$$busy $$!"; done; \
		echo "once more with $$(nproc) cores busy"; $(BIN)/pytest $(parallel) tests/faults)

# The same seed gives the same schedule. If something is wrong, the logs stay in .chaos.
MINUTES ?= 20
SEED ?= 1
.PHONY: chaos
chaos: $(VENV)/.dev ## Play faults at random over real jobs, on each database (MINUTES=20 SEED=1).
	@for database in sqlite postgres; do $(BIN)/python -m tests.faults.chaos \
		$$database $$(($(MINUTES) * 60)) $(SEED) .chaos/$$database-$(SEED) || exit 1; done

# On a host with a GPU, by each backend that reaches it. ON=cpu rehearses the tests on any machine.
.PHONY: gpu-test
gpu-test: $(VENV)/.dev ## Test what only a host with a GPU can show (ON=cpu: rehearse the tests on a CPU).
	FORNADA_GPU_TEST=$(or $(ON),gpu) $(BIN)/pytest -s tests/gpu

# Each benchmark makes a table. FULL=1 measures a history of a million jobs, DATA=… uses the images of
# MNIST, and `make bench-epochs OPTIONS="--rounds 1"` runs one benchmark with its own options.
OUT ?= build/bench
BENCHES := epochs job sweep queueing commands history packs state
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
	env -u MAKELEVEL -u MAKEFLAGS FORNADA_HOME=$${FORNADA_HOME:-/tmp/fornada-picture} \
		$(BIN)/python -P docs/picture.py make demo

.PHONY: compose-test
compose-test: ## Run docker-compose.yml end to end on a Docker engine.
	sh tests/compose/run.sh

# The lock files hold versions and hashes but no address of an index, so pip and uv use the index that
# they are configured for. The names of extras stay in the files: without them pip 23.2 ignores the lock
# for such a package and looks for its newest release.
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

# Each file below marks an installed lock file. pip runs again only after the lock file or
# pyproject.toml has changed.
$(VENV)/.demo $(VENV)/.dev $(VENV)/.bench: $(VENV)/.%: lock/%.txt pyproject.toml
	@test -n "$(PYTHON)" || { echo "Python 3.11, 3.12 or 3.13 is needed; name one with PYTHON=…" >&2; exit 1; }
	@echo "Installing lock/$*.txt into $(VENV) (TensorFlow is large: a few minutes the first time)"
	@$(create_venv)
	@$(install) --require-hashes -r lock/$*.txt
	@$(install) --no-deps --no-build-isolation -e .
	@touch $@

# The build of PyTorch for Linux on PyPI brings 3 GB of CUDA, which is not needed here.
$(VENV)/.torch: $(VENV)/.bench
	@$(install) torch==2.13.0+cpu || echo "No CPU build of PyTorch here: the tables lack its rows" >&2
	@touch $@
