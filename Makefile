# make app    install, serve the page on this machine, and print the address that opens it
# make test   install and pass the tests
# make test-browser  pass the tests of the page in a real browser: a Chromium has to be there
# make test-postgres  pass the gallery's tests on a PostgreSQL server of their own: the system's, or a wheel's
# make test-milvus  pass the gallery's tests with the index in Milvus Lite, in an environment of its own
# make torture  every fault of docs/reliability.md, made on purpose and counted: an hour or two
# make torture-postgres  those that a server changes, on one of their own
# make corpus   everything that a stranger may hand in, through every door, counted: a few minutes
# make check  formatting, lint, types, and who may import whom
#
# TORCH=cpu   takes PyTorch's small build, for a machine without an NVIDIA GPU
# PYTHON=…    another interpreter than the first one found (3.11 or later)

ifndef PYTHON
# Asked, not looked up: a version manager may hold a name that does not run.
PYTHON := $(shell for name in python3 python3.14 python3.13 python3.12 python3.11; do \
	$$name -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null && echo $$name && break; done)
endif
VENV   ?= .venv
BIN    := $(VENV)/bin
READY  := $(VENV)/.ready
MILVUS := .venv-milvus
PORT   ?= 8501

.PHONY: app test test-browser test-postgres test-milvus torture torture-postgres corpus check clean
.DEFAULT_GOAL := app

app: $(READY)
	@$(BIN)/likeness app --port $(PORT)

# What failed is run once more, alone, and both runs are shown: a test that passes only then depends
# on the time it has or on another test, and has to be mended, but stops nobody's work.
# Over a hundred processes start: compiled modules are kept, whatever the environment says.
PYTEST := PYTHONDONTWRITEBYTECODE= OMP_NUM_THREADS=1 $(BIN)/python -m pytest
ALONE  := --last-failed --last-failed-no-failures none --numprocesses 0

test: $(READY)
	$(PYTEST) --numprocesses auto --dist worksteal $(TESTS) || \
		{ test $$? -eq 1 && echo "once more, alone:" && $(PYTEST) $(ALONE) $(TESTS); }

test-browser: $(READY)
	$(PYTEST) -m browser tests/ui || \
		{ test $$? -eq 1 && echo "once more, alone:" && $(PYTEST) $(ALONE) -m browser tests/ui; }

test-postgres: $(READY)
	@$(BIN)/python tests/postgres_server.py
	OMP_NUM_THREADS=1 $(BIN)/python -m pytest --numprocesses auto --dist loadfile -m postgres tests/recognition/gallery tests/torture

test-milvus: $(MILVUS)/.ready
	OMP_NUM_THREADS=1 PYTHONPATH=. $(MILVUS)/bin/python -m pytest tests/recognition/gallery

torture: $(READY)
	OMP_NUM_THREADS=1 $(BIN)/python tests/torture/run.py --table docs/reliability.md $(ROWS)

torture-postgres: $(READY)
	OMP_NUM_THREADS=1 $(BIN)/python tests/torture/run.py --postgres --table docs/reliability.md $(ROWS)

corpus: $(READY)
	OMP_NUM_THREADS=1 $(BIN)/python tests/corpus/run.py --table docs/reliability.md

check: $(READY)
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy
	$(BIN)/lint-imports --no-cache

# The lock holds the versions that the tests passed with; as constraints they bind only what a platform needs.
$(READY): pyproject.toml requirements.lock
	@$(or $(PYTHON),false) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || \
		{ echo "error: Python 3.11 or later is needed; run make PYTHON=/path/to/python3.11" >&2; exit 2; }
	$(PYTHON) -m venv $(VENV) || \
		{ echo "error: no venv module; on Debian and Ubuntu: apt install python3-venv" >&2; exit 2; }
ifeq ($(TORCH),cpu)
	$(BIN)/pip install --quiet --constraint requirements.lock --no-deps torch torchvision \
		--index-url https://download.pytorch.org/whl/cpu
endif
	$(BIN)/pip install --quiet --constraint requirements.lock --editable '.[test,check]'
	@touch $(READY)

# Milvus Lite needs faiss-cpu, which must not be beside faiss-gpu; a gallery needs no torch.
$(MILVUS)/.ready: Makefile requirements.lock
	$(or $(PYTHON),false) -m venv $(MILVUS)
	$(MILVUS)/bin/pip install --quiet --constraint requirements.lock pymilvus milvus-lite faiss-cpu \
		cryptography zxcvbn numpy scipy safetensors platformdirs pillow pytest pytest-timeout \
		hypothesis
	@touch $@

clean:
	rm -rf $(VENV) $(MILVUS) build dist *.egg-info .mypy_cache .ruff_cache .pytest_cache
