# Two commands do all the set-up on a fresh machine: `make demo` and `make test`.

VENV ?= .venv
PYTHON ?= $(shell command -v python3.11 || command -v python3.12 || command -v python3.13 || command -v python3)
BIN := $(VENV)/bin
STAMP := $(VENV)/.installed
# Tests that wait leave time for one more side by side than there are processors.
WORKERS ?= $(shell expr $$(getconf _NPROCESSORS_ONLN) + 1)

.PHONY: demo test lint format docs bench soak coverage mutation clean system-packages

demo: $(STAMP)
	$(BIN)/fusewatch demo

test: $(STAMP) lint
	$(BIN)/python -m pytest -n $(WORKERS) --dist loadfile --no-loadscope-reorder -m "not alone"
	$(BIN)/python -m pytest -m alone

lint: $(STAMP)
	$(BIN)/ruff check pipeline nodes tests
	$(BIN)/ruff format --check pipeline nodes tests
	$(BIN)/mypy
	$(BIN)/lint-imports

format: $(STAMP)
	$(BIN)/ruff check --fix pipeline nodes tests
	$(BIN)/ruff format pipeline nodes tests

# What is written from the settings themselves; a test says when it is out of date.
docs: $(STAMP)
	$(BIN)/fusewatch config schema > configs/deployment.schema.json
	$(BIN)/fusewatch config settings > configs/settings.md
	$(BIN)/fusewatch config settings --models > configs/models/settings.md

bench: $(STAMP)
	$(BIN)/python -m tests.benchmarks

soak: $(STAMP)
	$(BIN)/python -m tests.soak --hours $(or $(HOURS),2) --out soak-out

# Lines of pipeline run by the tests, those in the processes that tests start too. An hour or more.
coverage: $(STAMP)
	$(BIN)/coverage erase
	$(BIN)/coverage run -m pytest -n auto --dist loadfile -m "not alone" --timeout 900 $(TESTS)
	$(BIN)/coverage combine --quiet
	$(BIN)/coverage report

# Small changes to alignment, protocol, alarm and calibration, and which no quick test notices.
# Takes hours; `make mutation ONLY='pipeline.detection.alarm.*'` does one module.
mutation: $(STAMP)
	$(BIN)/pip install --quiet 'mutmut==3.8.*'
	OMP_NUM_THREADS=1 $(BIN)/mutmut run --max-children 2 $(ONLY)
	$(BIN)/mutmut results

# OpenCV's wheel needs the system's GL and GLib libraries, sounddevice needs PortAudio.
system-packages:
	sh .ci/system-packages runtime

$(STAMP): pyproject.toml .ci/system-packages
	$(PYTHON) -m venv $(VENV)
	$(BIN)/pip install --quiet --upgrade pip
	$(BIN)/pip install --quiet --editable '.[all,dev]'
	sh .ci/system-packages runtime
	touch $@

clean:
	rm -rf $(VENV) build dist .pytest_cache .mypy_cache .ruff_cache .hypothesis demo-out soak-out fuzz-out mutants
