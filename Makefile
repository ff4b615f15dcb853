# The same commands serve a newcomer, a developer and CI.
VENV ?= .venv
PYTHON ?= python3
BIN := $(VENV)/bin
READY := $(VENV)/.ready

.PHONY: install run test gpu fuzz lint format docs board benchmarks clean

$(READY): pyproject.toml
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 10))' || \
		{ echo "Python 3.10 or newer is needed; say which: make PYTHON=python3.12"; exit 1; }
	$(PYTHON) -m venv $(VENV)
	$(BIN)/pip install --quiet --disable-pip-version-check --editable '.[dev]'
	@touch $(READY)

install: $(READY)  ## environment in .venv, package and development tools

run: $(READY)  ## the default experiment; ARGS="method=ema_merge" for another
	$(BIN)/fomo run $(ARGS)

test: $(READY)  ## all tests
	$(BIN)/pytest -n 2 --dist worksteal $(ARGS)

gpu: $(READY)  ## where there is a GPU: the tests of promises on it, then what a step takes there
	$(BIN)/pytest -m gpu -n 8 $(ARGS)
	$(BIN)/python benchmarks/gpu.py --write

fuzz: $(READY)  ## hostile input for hours; ARGS="-k pictures" for one target
	FOMO_FUZZ=night $(BIN)/pytest tests/fuzz $(ARGS)

lint: $(READY)  ## ruff and mypy
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

format: $(READY)  ## let ruff write
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

docs: $(READY)  ## write the tables of README.md and docs/methods.md from the rows in methods/
	$(BIN)/python -m docs.tables

board: $(READY)  ## the leaderboard's page, site/board.html, from the submissions in results/
	mkdir -p site
	$(BIN)/fomo leaderboard results --html site/board.html

benchmarks: $(READY)  ## speed as ratios, printed
	$(BIN)/python benchmarks/loop_overhead.py
	$(BIN)/python benchmarks/merging.py
	$(BIN)/python benchmarks/checkpoint_overhead.py
	$(BIN)/python benchmarks/data_throughput.py
	$(BIN)/python benchmarks/evaluation.py
	$(BIN)/python benchmarks/prompts.py
	$(BIN)/python benchmarks/stream_scale.py
	$(BIN)/python benchmarks/method_steps.py

clean:  ## the environment and caches; runs and data stay
	rm -rf $(VENV) .mypy_cache .ruff_cache .pytest_cache .hypothesis dist
