# make demo               see the method work with the small demo model: no checkpoint, no GPU, a few minutes
# make check              what to run between two edits: ruff and the quick tests of the core
# make test               all tests that this machine allows
# make pictures           take the pictures of the README and the help pages anew, from the browser tests
# make run CONFIG=...     tune on a clip and render it with other prompts, from a YAML file (see configs/)
# make clean              remove what the above installed
#
# Each sets up its own virtual environment in .venv first. TORCH says what pip installs as torch, for another release or
# another build, e.g. make test TORCH="torch==2.11.0".

PYTHON ?= python3
VENV ?= .venv
TORCH ?= torch==2.13.0
PYTEST_ARGS ?=
DEMO_ARGS ?=
CONFIG ?= configs/example.yaml

.PHONY: demo check test pictures run clean

demo: $(VENV)/.installed
	$(VENV)/bin/python -m tav_core demo $(DEMO_ARGS)

check: $(VENV)/.installed
	$(VENV)/bin/ruff check .
	$(VENV)/bin/python -m pytest -n 2 -q -m "not slow" tests/core

test: $(VENV)/.installed
	$(VENV)/bin/ruff check .
	$(VENV)/bin/python -m pytest -n 2 $(PYTEST_ARGS)

pictures: $(VENV)/.installed
	SCREENSHOTS=1 $(VENV)/bin/python -m pytest -q tests/browser/test_demo_workflow_page.py \
		tests/browser/test_workflows_page.py tests/browser/test_tuned_files_page.py tests/browser/test_evaluate_video_page.py

run: $(VENV)/.installed
	$(VENV)/bin/python -m tav_core run $(CONFIG)

clean:
	rm -rf $(VENV)

$(VENV)/.installed: pyproject.toml
	$(PYTHON) -m venv $(VENV)
	$(VENV)/bin/python -m pip install --quiet $(TORCH)
	$(VENV)/bin/python -m pip install --quiet --editable ".[dev]"
	touch $@
