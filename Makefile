# make run   start the local page          make test  everything CI checks
# make lint  the static checks only        make setup install without starting
# make sbom  what is installed, as CycloneDX JSON    make audit  its known weaknesses (needs the network)
# make catalogues  the sentences of the sources into the catalogues of every language
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
STAMP := $(VENV)/.installed
# The extra gpu lives in an environment of its own (7 GB): its torch is another build than the one that most people run,
# and the ordinary tests shall find nothing of it.
GPU := .venv-gpu
AUDIT := .venv-audit

.PHONY: run test lint setup browser catalogues sbom audit clean

run: $(STAMP)
	$(BIN)/rapbot web

setup: $(STAMP)
	$(BIN)/rapbot models fetch

lint: $(STAMP)-dev
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports --no-cache
	$(BIN)/python -m pip check

test: lint browser $(GPU)/.installed
	$(BIN)/rapbot models fetch
	$(BIN)/python -m pytest
	$(GPU)/bin/python -m pytest tests/gpu

# The browser test drives a real Chromium; where it cannot be installed the test says that it was skipped.
browser:
	@command -v chromium >/dev/null || { \
	  if command -v apt-get >/dev/null && [ "$$(id -u)" = 0 ]; then \
	    apt-get update -q && apt-get install -q -y --no-install-recommends chromium fonts-noto-core; \
	  else echo "No chromium here: the browser test will be skipped (on Debian: apt install chromium)."; fi; }

# New sentences come in untranslated (English is shown); those that no source has any more go. No guesses.
catalogues: $(STAMP)-dev
	@mkdir -p build
	$(BIN)/pybabel -q extract --no-default-keywords -k _ -k ngettext:1,2 -k mark --sort-output --no-location \
	  -w 120 --project rapbot -o build/rapbot.pot rapbot adapters
	$(BIN)/pybabel -q update -D rapbot -i build/rapbot.pot -d rapbot/locale -w 120 --no-fuzzy-matching \
	  --ignore-obsolete --ignore-pot-creation-date
	$(BIN)/pybabel -q compile -D rapbot -d rapbot/locale

$(VENV)/bin/python:
	@$(PYTHON) -c 'import sys; sys.exit("rapbot needs Python 3.11 or newer; this is " + sys.version.split()[0] + ". Try: make PYTHON=python3.12" if sys.version_info < (3, 11) else 0)'
	$(PYTHON) -m venv $(VENV)

# constraints.txt pins the pair of torch builds that was tested; pip shows its own progress bars.
$(STAMP): $(VENV)/bin/python pyproject.toml constraints.txt
	@echo "Installing rapbot and what it needs into $(VENV) (the first time takes some minutes) …"
	$(BIN)/python -m pip install --disable-pip-version-check -c constraints.txt -e .
	@touch $@

$(STAMP)-dev: $(VENV)/bin/python pyproject.toml constraints.txt
	$(BIN)/python -m pip install --disable-pip-version-check -c constraints.txt -e '.[dev]'
	@touch $@ $(STAMP)

$(GPU)/.installed: $(VENV)/bin/python pyproject.toml
	@echo "Installing the extra gpu for its tests into $(GPU) (about 7 GB; they need no GPU) …"
	$(PYTHON) -m venv $(GPU)
	$(GPU)/bin/python -m pip install --disable-pip-version-check -e '.[gpu,server,test]'
	@touch $@

# What is installed, as CycloneDX JSON; and whether any of it has a known weakness (asks a service on the network).
# Their tools live in an environment of their own: they are no part of what they list.
sbom: $(STAMP) $(AUDIT)/.installed
	@mkdir -p build
	$(AUDIT)/bin/cyclonedx-py environment --pyproject pyproject.toml --output-format JSON --output-file build/sbom.json \
	  $(BIN)/python
	@echo "build/sbom.json"

audit: $(STAMP) $(AUDIT)/.installed
	$(AUDIT)/bin/pip-audit --path $$($(BIN)/python -c 'import sysconfig; print(sysconfig.get_path("purelib"))')

$(AUDIT)/.installed: $(VENV)/bin/python
	$(PYTHON) -m venv $(AUDIT)
	$(AUDIT)/bin/python -m pip install --disable-pip-version-check cyclonedx-bom pip-audit
	@touch $@

clean:
	rm -rf $(VENV) $(GPU) $(AUDIT)
