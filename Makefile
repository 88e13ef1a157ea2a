# Everything here needs Python 3.10+ and make.  PYTHON chooses another interpreter; TORCH another torch
# (TORCH= keeps whatever torch the environment already has).
PYTHON ?= python3
TORCH ?= torch==2.13.0
VENV := .venv
BIN := $(VENV)/bin
STAMP := $(VENV)/.ready
JOBS ?= 2

REFERENCE ?= ../shared/reference

.PHONY: setup demo test check lint types arch bench bench-families docs fmt train clean help

help:
	@echo "make demo    set up, then the whole path with the bundled model (report: build/demo/report.html)"
	@echo "make test    set up, then lint, types, import contracts and all tests"
	@echo "make check   the quick one before every commit (under 3 minutes)"
	@echo "make bench   the published benchmark (bench/report.md); make docs  the generated pages"

setup: $(STAMP)

$(STAMP): pyproject.toml constraints.txt
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --upgrade pip
	$(if $(TORCH),$(BIN)/python -m pip install --quiet -c constraints.txt "$(TORCH)")
	$(BIN)/python -m pip install --quiet -c constraints.txt --group dev -e ".[export,openvino,plots,live,mqtt]"
	touch $(STAMP)

demo: setup
	$(BIN)/stgcn demo -o build/demo --force

lint: setup
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .

types: setup
	$(BIN)/mypy

arch: setup
	$(BIN)/lint-imports

check: lint types arch
	$(BIN)/pytest -q -n $(JOBS) -m "not slow"

test: lint types arch
	$(BIN)/pytest -n $(JOBS)

bench: setup
	$(BIN)/python bench/run.py

# Every family against its plain export; needs the networks of the original codebases.
bench-families: setup
	$(BIN)/python bench/families.py $(REFERENCE)

docs: setup
	$(BIN)/python docs/generate.py

train: setup
	$(BIN)/python training/demo.py --run build/train-demo --out build/train-demo

fmt: setup
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

clean:
	rm -rf $(VENV) build dist
