# demo: install and colour the shipped example. krita: put the plugin into Krita. test: the whole suite. lint: style and
# types. screenshots: take the pictures of the docker anew, in a real Krita.
PYTHON ?= python3
VENV ?= .venv
BIN := $(VENV)/bin
TORCH ?= torch==2.13.0

.PHONY: demo krita test lint screenshots

$(VENV)/.torch:
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --upgrade pip
	@# The CPU build first, or pip would fetch gigabytes of CUDA with the project. What torch needs comes with the project.
	$(BIN)/python -m pip install --quiet --no-deps --retries 0 --index-url https://download.pytorch.org/whl/cpu $(TORCH) || \
		$(BIN)/python -m pip install --quiet $(TORCH)
	touch $@

$(VENV)/.installed: $(VENV)/.torch pyproject.toml
	$(BIN)/python -m pip install --quiet -e .
	touch $@

$(VENV)/.dev: $(VENV)/.installed
	$(BIN)/python -m pip install --quiet -e '.[dev]'
	touch $@

demo: $(VENV)/.installed
	mkdir -p out
	$(BIN)/engine colorize examples/three_friends/lineart.png --hints examples/three_friends/hints.png --layers out/layers -o out/demo.png
	@echo "The picture is out/demo.png; its layers are in out/layers/"

krita: $(VENV)/.installed
	$(BIN)/colorize-install

test: $(VENV)/.dev
	$(BIN)/python -m pytest -n 2 --dist loadgroup --no-loadscope-reorder

lint: $(VENV)/.dev
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

screenshots: $(VENV)/.dev
	$(BIN)/python tests/krita/pictures.py
