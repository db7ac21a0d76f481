# Only Python 3.11 and make are assumed; every target builds what it needs.
PYTHON ?= python3.11
VENV := .venv
BIN := $(VENV)/bin
WORKERS := 4

.PHONY: demo test test-slow test-shuffled lint format bench streams mutation clean

# The stamp comes last, so that an interrupted installation is done again.
$(VENV)/installed: pyproject.toml constraints.txt
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -c constraints.txt -e '.[test,river,sklearn,bench]'
	touch $@

demo: $(VENV)/installed
	$(BIN)/python examples/demo.py

test: $(VENV)/installed
	$(BIN)/python -m pytest -n 2 --dist loadfile --no-loadscope-reorder -rs -m 'not slow'

test-slow: $(VENV)/installed
	$(BIN)/python -m pytest -m slow

# In another order every time, with other workers, in another place, and compiled as for users.
# Installed beside the rest, or it would shuffle every run.
test-shuffled: $(VENV)/installed
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --no-deps -c constraints.txt \
		--upgrade --target out/shuffled pytest-randomly
	PYTHONPATH=out/shuffled LC_ALL=C TZ=Asia/Kathmandu \
		XLA_FLAGS=--xla_cpu_parallel_codegen_split_count=1 \
		$(BIN)/python -m pytest -n $(WORKERS) --dist loadfile -rs -m 'not slow'

lint: $(VENV)/installed
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/pyright --pythonpath $(BIN)/python

format: $(VENV)/installed
	$(BIN)/ruff format .
	$(BIN)/ruff check --fix .

bench: $(VENV)/installed
	$(BIN)/python -m benchmarks

# Hours; goes on where it stopped. What `pip install -e '.[moa]'` would bring is skipped without it.
streams: $(VENV)/installed
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -c constraints.txt -e '.[test,rivals]'
	$(BIN)/python -m benchmarks.streams

mutation: $(VENV)/installed
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -c constraints.txt -e '.[test,mutation]'
	$(BIN)/python -m benchmarks.mutation

clean:
	rm -rf $(VENV) .pytest_cache .ruff_cache .hypothesis build dist out
