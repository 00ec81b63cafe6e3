# `make demo` and `make test` each do everything on a fresh machine.
#   make demo STRUCTURE=file.pdb FRAMES=100     make PYTHON=python3.12 test

PYTHON ?= python3
VENV ?= .venv
FRAMES ?= 100
STRUCTURE ?=
OUT ?= demo
JOBS ?= 2

BIN := $(VENV)/bin
STAMP := $(VENV)/.installed

.PHONY: demo test soak lint behaviour bench plugin docs venv clean

demo: $(STAMP)
	$(BIN)/python scripts/demo.py --frames "$(FRAMES)" --structure "$(STRUCTURE)" --out "$(OUT)"

# Types are checked on one core while the tests begin.
test: $(STAMP)
	$(MAKE) --jobs 2 lint behaviour

behaviour: $(STAMP)
	OMP_NUM_THREADS=1 $(BIN)/python -m pytest -n $(JOBS) --dist loadfile

soak: $(STAMP)
	OMP_NUM_THREADS=1 $(BIN)/python -m pytest --soak -m soak --timeout 3600 -rP --log-level=INFO

lint: $(STAMP)
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

bench: $(STAMP)
	for script in benchmarks/*.py; do $(BIN)/python "$$script" || exit 1; done

plugin: $(STAMP)
	$(BIN)/python scripts/build_plugin.py

docs: $(STAMP)
	$(BIN)/python scripts/command_reference.py
	$(BIN)/mkdocs build --strict --quiet

venv: $(STAMP)

$(STAMP): setup.py constraints.txt scripts/make_venv.py
	$(PYTHON) scripts/make_venv.py "$(VENV)"
	touch $@

clean:
	rm -rf $(VENV) build dist demo *.egg-info .mypy_cache .pytest_cache .ruff_cache
