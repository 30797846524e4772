# Everything a fresh machine needs is Python 3.11 (or later) with pip; the rest goes into .venv.
PYTHON ?= python3
BIN := .venv/bin
# One thread per test process: two cores run two processes.
export OMP_NUM_THREADS ?= 1

.PHONY: install demo test test-slow lint bench clean

install: .venv/installed

.venv/installed: pyproject.toml constraints.txt
	$(PYTHON) -c 'import sys; sys.exit("caffeport needs Python 3.11 or later, this is " + sys.version.split()[0] if sys.version_info < (3, 11) else 0)'
	$(PYTHON) -m venv .venv
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --constraint constraints.txt --editable '.[dev]'
	touch $@

demo: install
	$(BIN)/python -m caffeport.demo demo

test: install
	$(BIN)/python -m pytest -q -n 2 -m 'not slow and not gpu'

test-slow: install
	$(BIN)/python -m pytest -q -n 2 -m slow

lint: install
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

bench: install
	$(BIN)/python -m caffeport.bench

clean:
	rm -rf .venv demo build dist
