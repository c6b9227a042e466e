# Two commands on a fresh machine: `make bench` measures it, `make test` tests perwatt. Each makes what it needs.
PYTHON ?= python3
VENV   ?= .venv
SUITE  ?= smoke
BIN    := $(VENV)/bin
PIP    := $(BIN)/python -m pip install --quiet --disable-pip-version-check --constraint constraints.txt

.PHONY: bench test test-slow lint gpu overhead size-demo clean
.DEFAULT_GOAL := help

help:
	@echo "make bench        measure this machine (SUITE=smoke): a table, and a folder under results/runs/"
	@echo "make test         lint, types and tests; make test-slow: the long tests"
	@echo "make gpu          on a GPU: our own kernels checked at full size and laid beside the vendor's, one run folder"
	@echo "make size-demo    size a published case: 191 DGX H100 in Copenhagen, a report under results/sizings/"
	@echo "make overhead     what the harness itself costs"
	@echo "make clean        remove the virtual environment and caches (never results)"
	@echo "PYTHON=python3.12 VENV=DIR choose another interpreter or place"

bench: $(VENV)/ready
	$(BIN)/perwatt run suite=$(SUITE)

test: lint
	$(BIN)/python -m pytest -m "not slow and not gpu" --benchmark-disable

test-slow: $(VENV)/ready-to-test
	$(BIN)/python -m pytest -m "slow and not gpu" --benchmark-disable

gpu: $(VENV)/ready-to-test
	PERWATT_REQUIRE=gpu,triton $(BIN)/python -m pytest -m gpu --benchmark-disable -ra

lint: $(VENV)/ready-to-test
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

size-demo: $(VENV)/ready-to-size
	$(BIN)/perwatt size preset=gefion

overhead: $(VENV)/ready-to-test
	$(BIN)/python -m pytest tests/overhead tests/benchmarks/meters -m "" -k "overhead or cost_of_a_read" --capture=no --benchmark-columns=min,median,iqr,rounds --benchmark-sort=name --benchmark-name=long

$(VENV)/ready: pyproject.toml constraints.txt
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || \
	  { echo "perwatt needs Python 3.11 or newer; $(PYTHON) is older. Try: make PYTHON=python3.12 ..." >&2; exit 2; }
	@echo "making $(VENV): torch is large, this takes a minute or more"
	@$(PYTHON) -m venv $(VENV) || \
	  { echo "$(PYTHON) cannot make a virtual environment; on Debian and Ubuntu: apt install python3-venv" >&2; exit 2; }
	$(PIP) --editable '.[triton,nvidia]'
	@touch $@

$(VENV)/ready-to-size: $(VENV)/ready
	$(PIP) --editable '.[triton,nvidia,sizing]'
	@touch $@

$(VENV)/ready-to-test: $(VENV)/ready
	$(PIP) --editable '.[triton,nvidia,amd,facility,sizing,fleet,test]'
	@touch $@

clean:
	rm -rf $(VENV) .mypy_cache .ruff_cache .pytest_cache build dist src/perwatt.egg-info
