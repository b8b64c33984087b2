# Everything a person or CI does with this repo. `make` alone lists it.
PYTHON ?= python3
BIN := .venv/bin
# Of `make simulate`: 0 seeds = until stopped.
SCENARIO ?= counting
SEEDS ?= 0
FROM ?= 0
READY := .venv/.ready

.DEFAULT_GOAL := help
.PHONY: help setup docs demo test test-all test-docker test-kube simulate check proto image bench format broker clean

help: ## list these targets
	@awk -F ':.*## ' '/^[a-z-]+:.*## / {printf "  make %-11s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

setup: $(READY) ## .venv with `vpp` in it, and the tools it needs (the other targets call it)
	@PYTHON=$(PYTHON) bash deploy/install-tools.sh

demo: setup ## the whole loop on this machine, with simulated homes and a dashboard
	$(BIN)/vpp up

# Four processes side by side, as tests wait for Kafka much of their time; numpy must not take
# every core for each of them.
test test-all: export OPENBLAS_NUM_THREADS := 1
# Some images forbid Python to keep its bytecode. Each of the hundred processes that tests start
# would then compile every file again.
test test-all: export PYTHONDONTWRITEBYTECODE :=

test: setup ## the tests, on a real Kafka (some minutes)
	$(BIN)/pytest -n 4 --dist worksteal --durations=25 -m "not nightly"

test-all: setup ## these and the long ones: more seeds, more examples, years instead of weeks
	$(BIN)/pytest -n 4 --dist worksteal --durations=25 --hypothesis-profile=nightly

test-docker: setup ## the image and docker-compose.yml, built and run (root on Debian needs no Docker)
	PYTHON=$(BIN)/python bash deploy/docker/test.sh

test-kube: setup ## the chart against Kubernetes' own servers (needs Go; the first time, 14 CPU minutes)
	PYTHON=$(BIN)/python bash deploy/kube/test.sh

simulate: setup ## the shell on a simulated Kafka, one seed after another (SEEDS=n FROM=m SCENARIO=s)
	$(BIN)/python -m tests.simulation --scenario $(SCENARIO) --seeds $(SEEDS) --from $(FROM)

check: setup docs ## lint, format, types, import rules, generated contracts, docs
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports
	$(BIN)/vpp contracts --check
	$(BIN)/python proto/generate.py --check
	$(BIN)/python deploy/image/runtime_lock.py --check

proto: setup ## generate the gRPC code in vpp/ from proto/, unless it would break clients
	$(BIN)/python proto/generate.py

image: ## the container image that runs every role
	docker build -f deploy/image/Dockerfile -t vpp-streams:local .

docs: setup ## the documentation site, in var/site; a link that leads nowhere is an error
	$(BIN)/sphinx-build -q -W --keep-going -n -b html docs var/site

bench: setup ## every benchmark's table, against baselines of the same run (some minutes)
	$(BIN)/vpp broker start
	$(BIN)/python -m benchmarks

format: setup ## format the code and sort its imports
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

broker: setup ## start a local Kafka
	$(BIN)/vpp broker start

clean: ## remove the environment and every cache in the tree (not the broker's data)
	rm -rf .venv *.egg-info .mypy_cache .ruff_cache .pytest_cache .hypothesis .import_linter_cache

# A recipe of its own, so that a second `make` finds the stamp and does nothing.
$(READY): requirements.lock pyproject.toml $(wildcard vpp_streams/domain/kernels/*.[ch])
	@PYTHON=$(PYTHON) bash deploy/install-tools.sh
	$(PYTHON) -m venv .venv
	$(BIN)/pip install --quiet --disable-pip-version-check -r requirements.lock
	$(BIN)/pip install --quiet --disable-pip-version-check --no-deps --editable .
	@touch $@
