# Every target does its own set-up: a virtual environment with pinned, hashed dependencies.
PYTHON ?= python3
VENV   := .venv
BIN    := $(VENV)/bin
PIP    := $(BIN)/python -m pip install --quiet --disable-pip-version-check --no-deps --require-hashes

.PHONY: demo doorstep test check bench kafka chaos outages requirements clean

demo: $(BIN)/doorstep
	@$(BIN)/python -m examples.demo $(DEMO_OPTIONS)

doorstep: $(BIN)/doorstep
	@echo "The command is $(BIN)/doorstep; after \`source $(BIN)/activate\` it is doorstep."

test: $(VENV)/.dev $(VENV)/.jvm
	@$(BIN)/python -m tests.run $(TEST_OPTIONS)

check: $(VENV)/.dev
	@$(BIN)/ruff check --quiet .
	@$(BIN)/ruff format --check --quiet .
	@$(BIN)/mypy
	@$(BIN)/lint-imports > .import-lint.log 2>&1 || { cat .import-lint.log; exit 1; }
	@$(BIN)/python -m tests.drift

bench: $(VENV)/.dev
	@$(BIN)/python -m benchmarks.$(NAME) $(BENCH_OPTIONS)

chaos: $(VENV)/.dev $(VENV)/.jvm
	@$(BIN)/python -m tests.end_to_end.chaos $(CHAOS_OPTIONS)

outages: $(VENV)/.dev $(VENV)/.jvm
	@$(BIN)/python -m tests.end_to_end.outages $(OUTAGES_OPTIONS)

kafka: $(VENV)/.jvm
	@$(BIN)/python -m deploy.kafka $(KAFKA_OPTIONS)

$(VENV)/bin/python:
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || { echo "Doorstep needs Python 3.11 or newer; say which with: make PYTHON=python3.12"; exit 1; }
	@$(PYTHON) -m venv $(VENV)

$(VENV)/.run: requirements/run.txt | $(VENV)/bin/python
	@echo "Installing what Doorstep needs (once) ..."
	@$(PIP) -r requirements/run.txt
	@$(BIN)/python -c 'import pathlib, sysconfig; pathlib.Path(sysconfig.get_path("purelib"), "doorstep.pth").write_text(str(pathlib.Path.cwd()))'
	@touch $@

# -P: what lies in the folder it is called from is not imported.
$(BIN)/doorstep: Makefile $(VENV)/.run
	@printf '#!/bin/sh\nexec "%s" -P -m services.console "$$@"\n' "$(CURDIR)/$(BIN)/python" > $@
	@chmod +x $@

$(VENV)/.dev: requirements/dev.txt $(VENV)/.run
	@echo "Installing what the tests need (once) ..."
	@$(PIP) -r requirements/dev.txt
	@touch $@

$(VENV)/.jvm: requirements/jvm.txt $(VENV)/.run
	@$(BIN)/python -m deploy.kafka.java || { echo "No Java 17 or newer here: installing one into $(VENV) (once) ..."; $(PIP) -r requirements/jvm.txt; }
	@touch $@

requirements: | $(VENV)/bin/python
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check uv
	@for name in run dev jvm; do $(BIN)/uv pip compile --quiet --universal --python-version 3.11 --generate-hashes --no-emit-index-url --no-emit-find-links --no-header --no-annotate requirements/$$name.in -o requirements/$$name.txt; done

clean:
	@rm -rf $(VENV) .doorstep .mypy_cache .ruff_cache .pytest_cache
