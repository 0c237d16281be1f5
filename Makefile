# make run | make test: each makes .venv from requirements.lock by itself.
# The lock names every package, so pip resolves nothing: asked to, pip of Python 3.11 takes an extra
# ("coverage[toml]") for a package of its own, finds a newer release than the lock's and refuses it.
VENV := .venv
BIN := $(VENV)/bin
PYTHON ?= $(firstword $(foreach p,python3.13 python3.12 python3.11 python3 python,$(shell $(p) -c 'import sys; sys.exit(sys.version_info < (3, 11))' >/dev/null 2>&1 && echo $(p))))

.PHONY: help install run test lint unit bench bench-quix bench-refit study-coverage study-experiments fuzz test-faults simulate simulate-mutants study-calibration bench-drift soak lock clean

help: ## what there is to make
	@grep -E '^[a-z-]+:.*##' $(MAKEFILE_LIST) | sed 's/:.*##/\t/'

install: $(VENV)/.installed ## the environment, pinned with hashes (a second call is instant)

$(VENV)/.installed: requirements.lock pyproject.toml
	@test -n "$(PYTHON)" || { echo "stream_hb needs Python 3.11 or newer; none found. Name one: make PYTHON=/path/to/python3"; exit 1; }
	@echo "making $(VENV) with $(PYTHON)"
	@$(PYTHON) -m venv $(VENV)
	@$(BIN)/pip install --quiet --disable-pip-version-check --no-deps --require-hashes --requirement requirements.lock
	@$(BIN)/pip install --quiet --disable-pip-version-check --no-deps --no-build-isolation --editable .
	@touch $@

run: install ## the newcomer's minute: stream-hb demo on the embedded broker
	@$(BIN)/stream-hb demo

test: lint unit ## everything CI runs

lint: install ## ruff, mypy strict, import directions
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports

unit: install ## all tests, with coverage; one of the three processes mostly waits for brokers
	$(BIN)/pytest --numprocesses 3 --dist loadscope --no-loadscope-reorder --cov --cov-report=term

bench: install ## speeds as ratios against an anchor in the same run, on a real broker (QUICK=1: minutes)
	$(BIN)/python -m tests.benchmarks $(if $(QUICK),--quick) $(BENCH)

bench-quix: .venv-quix/.installed ## the environment of the peer that make bench compares with

.venv-quix/.installed: tests/benchmarks/quix.requirements.txt
	@$(PYTHON) -m venv .venv-quix
	@.venv-quix/bin/pip install --quiet --disable-pip-version-check --no-deps --requirement $<
	@touch $@

study-coverage: install ## do intervals cover what they say? every family, spread and number of groups
	$(BIN)/python -m tests.study

study-experiments: install ## are experiments stopped without an effect? stores' effects, calibration
	$(BIN)/python -m tests.study_experiments

study-calibration: install ## does the alarm ring for wrong models only, does auto find the half-life?
	$(BIN)/python -m tests.calibration

bench-refit: install ## a refit's time from 1e3 to 1e7 groups, an update's and an interval's
	$(BIN)/python -m tests.benchmarks.refit

bench-drift: install ## drifts found, missed and false, beside other detectors (SEEDS=a-b)
	$(BIN)/python -m tests.drift200 $(if $(filter command environment,$(origin SEEDS)),--seeds $(SEEDS))

test-faults: install ## kills, pauses and broker crashes at full size, on a real broker
	STREAM_HB_FAULTS_FULL=1 $(BIN)/pytest -s tests/faults tests/runtime/test_rebalances.py

MINUTES ?= 30

soak: install ## mixed faults for MINUTES: memory's slope, descriptors, latency outside of faults
	$(BIN)/python -m tests.faults.soak --minutes $(MINUTES)

SEEDS ?= 0-4999

simulate: install ## the worker in a simulated cluster: kills, freezes, late requests, by seed (SEEDS=a-b)
	$(BIN)/python -m tests.simulator --seeds $(SEEDS)

simulate-mutants: install ## does the simulator find workers with one thing wrong?
	$(BIN)/python -m tests.simulator --seeds 0-1999 --mutants

fuzz: install ## a million mutated payloads, a hundred thousand mutated event logs
	$(BIN)/python -m tests.fuzz

lock: ## renew requirements.lock (needs uv)
	uv pip compile --quiet --universal --python-version 3.11 --generate-hashes --no-emit-index-url --no-header --group dev pyproject.toml -o requirements.lock

clean: ## remove what make made
	rm -rf $(VENV) .venv-quix .mypy_cache .ruff_cache .pytest_cache .hypothesis .coverage
