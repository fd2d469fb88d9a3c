# Each target sets up what it needs: a fresh machine with Python >= 3.11, git and make is enough.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
# DVC starts the stages' `python` by name.
export PATH := $(CURDIR)/$(BIN):$(PATH)

.PHONY: repro test test-slow test-interrupted test-models test-containers ui serve params lint bench fuzz lock up down clean help

help:  ## this list
	@grep -hE '^[a-z-]+:.*##' $(MAKEFILE_LIST) | sed -E 's/:[^#]*## */\t/' | expand -t 10

# A stamp is as new as the lock file that it installed; --no-deps because the lock lists everything.
$(VENV)/.pipeline: requirements/pipeline.txt pyproject.toml serve/pyproject.toml
	test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --no-deps --require-hashes -r requirements/pipeline.txt
	$(BIN)/python -m pip install --quiet --no-deps --no-build-isolation -e ./serve -e .
	$(BIN)/pindet plots-page
	touch $@

$(VENV)/.dev: requirements/dev.txt $(VENV)/.pipeline
	$(BIN)/python -m pip install --quiet --no-deps --require-hashes -r requirements/dev.txt
	touch $@

repro: $(VENV)/.pipeline  ## prepare, train, evaluate and export what params.yaml says
	@pindet unlock
	@pindet params --check || true
	dvc repro
	@pindet summary

ui: $(VENV)/.pipeline  ## compare runs in the browser
	@pindet ui

serve: $(VENV)/.pipeline  ## serve the exported bundle on http://localhost:8000
	@pindet-serve

params: $(VENV)/.pipeline  ## compose params.yaml from conf/; overrides: make params S="training.lr=1e-3"
	pindet params $(S)

# Processes share the tests by folder: tests/conftest.py.
SHARED_PYTEST := OMP_NUM_THREADS=1 $(BIN)/python -m pytest -n auto --maxprocesses 4 --dist loadscope --no-loadscope-reorder

test: $(VENV)/.dev  ## run the tests
	$(SHARED_PYTEST)

test-slow: $(VENV)/.dev  ## run those tests that make test leaves out because they take long
	PINDET_TEST_SLOW=1 $(SHARED_PYTEST) -m slow

test-interrupted: $(VENV)/.dev  ## kill the pipeline at twenty moments, fill its disk: the result stays the same
	PINDET_TEST_INTERRUPTED=1 $(BIN)/python -m pytest -x tests/pipelines/test_interrupted.py

test-models: $(VENV)/.dev  ## every model of conf/model/ through the four stages
	PINDET_TEST_MODELS=1 OMP_NUM_THREADS=1 $(BIN)/python -m pytest -n 2 tests/pipelines/test_families.py

test-containers: $(VENV)/.dev  ## the production stack in real containers: start, kills, upgrade, backup, restore
	PINDET_TEST_CONTAINERS=1 $(BIN)/python -m pytest -x tests/deployment/test_containers.py

up:  ## start the production stack, and check it
	scripts/deployment/start_production_with_mlops.sh

down:  ## stop the production stack; its data stays
	scripts/deployment/start_production_with_mlops.sh --stop

lint: $(VENV)/.dev  ## style, types and import directions
	$(BIN)/ruff check .
	$(BIN)/mypy serve/pindet_serve src/pindet
	$(BIN)/lint-imports
	cd serve && if [ -x ../$(BIN)/deno ]; then ../$(BIN)/deno check --quiet --config tsconfig.json pindet_serve/web/start.js pindet_serve/web/app.js pindet_serve/web/docs.js; else echo "The page's types were not checked: deno is not installed."; fi

LOCK := uv pip compile --universal --python-version 3.11 --generate-hashes --no-emit-index-url --no-annotate \
	--no-header --quiet

bench: $(VENV)/.dev  ## the figures of benchmarks/; on a machine that does nothing else
	PYTHONPATH=src:serve $(BIN)/python benchmarks/prepare.py --images 50000
	PYTHONPATH=serve $(BIN)/python benchmarks/status_feed.py
	PYTHONPATH=serve $(BIN)/python benchmarks/serving.py --source .

fuzz: $(VENV)/.dev  ## ten minutes of odd bytes for the server's image decoder, and ten of odd requests for its routes
	PYTHONPATH=serve OMP_NUM_THREADS=1 $(BIN)/python tests/fuzz/decode.py -max_total_time=600
	PINDET_FUZZ_SECONDS=600 $(BIN)/python -m pytest tests/serve_api/test_openapi.py

lock:  ## renew the lock files from requirements/*.in (needs uv)
	$(LOCK) requirements/pipeline.in -o requirements/pipeline.txt
	$(LOCK) requirements/dev.in -c requirements/pipeline.txt -o requirements/dev.txt
	$(LOCK) requirements/serve.in -c requirements/pipeline.txt -o requirements/serve.txt
	for name in build mlflow agent gpu; do $(LOCK) docker/requirements/$$name.in -c requirements/pipeline.txt \
		-o docker/requirements/$$name.txt; done

clean:  ## remove the environment and the caches of the tools; data, models and runs stay
	rm -rf $(VENV) .mypy_cache .pytest_cache .ruff_cache .hypothesis
