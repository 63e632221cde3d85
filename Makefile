# Every command works on a fresh clone: the environment (.venv) is made when it is first needed and again when its list changes.

PYTHON ?= python3
BIN := .venv/bin
INSTALL := $(BIN)/python -m pip install --quiet --constraint constraints.txt --editable
QUICKSTART := runs/quickstart
LLM := runs/llm
ARMS := reinforce advantage_alignment
ECOSYSTEM := inspect openenv trackers verifiers
BESIDE := $(MAKE) --jobs 2 --no-print-directory
MKDOCS := NO_MKDOCS_2_WARNING=1 $(BIN)/python -m mkdocs
TRAIN := TTY_COMPATIBLE=0 OMP_NUM_THREADS=1 $(BIN)/detente train

.PHONY: help quickstart llm test test-vllm test-ecosystem gpu coverage lint bench browser pocket pocket_groups reference docs docs-serve

help: ## this list
	@sed -n 's/^\([a-z-]*\):.*## /make \1\t/p' Makefile | expand -t 20

quickstart: .venv/installed ## train two learners in the prisoner's dilemma at the same time and compare them
	@$(BESIDE) $(ARMS:%=quickstart-%)
	$(BIN)/detente report $(ARMS:%=$(QUICKSTART)/%) --out $(QUICKSTART)/report.html

llm: .venv/installed ## the same on a public language model
	@$(BESIDE) $(ARMS:%=llm-%)
	$(BIN)/detente report $(ARMS:%=$(LLM)/%) --out $(LLM)/report.html

# Recipes of one make, since a shell has its jobs ignore Ctrl-C: make waits until both have saved. Plain lines, as bars of two would mix.
quickstart-%: .venv/installed
	@$(TRAIN) ipd algorithm=$* --run $(QUICKSTART)/$* --no-report

llm-%: .venv/installed
	@$(TRAIN) ipd_smollm2 algorithm=$* --run $(LLM)/$* --no-report

test: .venv/installed-dev ## run every test that needs no GPU
	$(BIN)/python -m pytest -m "not gpu and not vllm and not ecosystem" --numprocesses 2 --dist loadfile --no-loadscope-reorder

test-vllm: .venv/installed-dev ## run the tests that need a vLLM server, in VLLM_ENV or an environment made for them
	@test -n "$(VLLM_ENV)" || PYTHON=$(PYTHON) bash tests/vllm/environment.sh .venv-vllm
	VLLM_ENV=$(or $(VLLM_ENV),$(CURDIR)/.venv-vllm) $(BIN)/python -m pytest -m vllm -n 0

test-ecosystem: .venv/installed-dev ## run the tests with libraries that need environments of their own, which it makes
	@for name in $(ECOSYSTEM); do \
	  PYTHON=$(PYTHON) bash tests/ecosystem/environment.sh $$name .venv-ecosystem && \
	  .venv-ecosystem/$$name/bin/python -m pytest -m ecosystem -n 0 tests/ecosystem/test_$$name.py || exit 1; \
	done

gpu: .venv/installed-dev ## run the tests and the measurements that need a GPU: at most eight minutes
	timeout 120 $(BIN)/python -m pytest -m gpu -n 0
	timeout 360 $(BIN)/python -m benchmarks gpu --json benchmarks/results/gpu.json $(ARGS)

coverage: .venv/installed-dev ## which lines the tests run: a table, and htmlcov/index.html
	$(BIN)/python -m pytest -m "not gpu and not vllm and not ecosystem" --numprocesses 2 --dist loadfile --no-loadscope-reorder --cov --cov-report=term:skip-covered --cov-report=html

lint: .venv/installed-dev ## check style, format and types
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

bench: .venv/installed-dev ## measure speed and memory; ARGS="update --help" for one subject
	$(BIN)/python -m benchmarks $(ARGS)

browser: ## install the browser that the tests of pages use (Debian and its kin)
	@if command -v chromium >/dev/null && command -v chromedriver >/dev/null; then echo "Chromium is here."; \
	elif command -v apt-get >/dev/null; then \
	  as_root=$$([ "$$(id -u)" = 0 ] || echo sudo); \
	  $$as_root apt-get update -qq && DEBIAN_FRONTEND=noninteractive $$as_root apt-get install -y -qq chromium chromium-driver; \
	else echo "Install Chromium and its driver by hand: this system has no apt-get."; fi

reference: .venv/installed ## write docs/reference.md, options.md and commands.md from the code
	$(BIN)/python docs/make_reference.py
	$(BIN)/python docs/make_options.py

docs: .venv/installed-dev ## make the documentation site: site/index.html, which needs no server and no network
	$(MKDOCS) build --quiet

docs-serve: .venv/installed-dev ## show the documentation site while its pages are written
	$(MKDOCS) serve

.PHONY: dist release-check lock
dist: .venv-release/installed ## build the wheel and the source distribution into dist/, and check what PyPI will show
	rm -rf dist
	.venv-release/bin/python -m build --outdir dist
	.venv-release/bin/twine check --strict dist/*

release-check: dist ## and install each into a bare environment, and train two iterations there
	PYTHON=$(PYTHON) .ci/release-check

lock: .venv-release/installed ## write requirements.lock, with hashes, for the versions of constraints.txt
	.venv-release/bin/uv pip compile --quiet --universal --no-annotate --no-header --generate-hashes --python-version 3.11 \
	  --constraints constraints.txt --output-file requirements.lock pyproject.toml

pocket: .venv/installed ## train the embedded model again from its script
	$(BIN)/python -m detente.pocket.build

pocket_groups: .venv/installed ## train the second embedded model again, that of games of several players and of amounts
	$(BIN)/python -m detente.pocket.build --model pocket_groups --threads 1

# pip is the last thing that venv puts there: a half-made environment is made again.
.venv/bin/pip:
	@$(PYTHON) -c 'import sys; sys.version_info >= (3, 11) or sys.exit("detente needs Python 3.11 or newer, and $(PYTHON) is " + sys.version.split()[0] + "; name another: make PYTHON=python3.12 ...")'
	$(PYTHON) -m venv .venv

.venv-release/installed:
	$(PYTHON) -m venv .venv-release
	.venv-release/bin/python -m pip install --quiet build==1.6.1 twine==7.0.0 uv==0.13.9
	@touch $@

.venv/installed: pyproject.toml constraints.txt | .venv/bin/pip
	$(INSTALL) .
	@touch $@

.venv/installed-dev: .venv/installed
	$(INSTALL) '.[dev]'
	@touch $@
