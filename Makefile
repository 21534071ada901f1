# Everything a developer or an operator does here. Python ≥ 3.11 and make are all it takes.
SHELL := /bin/sh
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
RUNTIME := $(VENV)/.runtime
DEVELOP := $(VENV)/.develop
# Each process would otherwise compile everything anew (4 s): tests start hundreds, the demo one.
export PYTHONDONTWRITEBYTECODE :=
# Tests wait for disks and processes more than they reckon: one more of them than two cores.
WORKERS ?= 3
# A file's tests share a worker; files begin in the order that tests/conftest.py gives them.
BY_FILE := --dist loadfile --no-loadscope-reorder
SPREAD := -n $(WORKERS) $(BY_FILE)
SPREAD_TWICE := -n $$((2 * $(WORKERS))) $(BY_FILE)
# What pip says meanwhile (of an index that isn't there, say) is kept, and shown when it fails. Such an
# index costs half a second a package: with pip's own five tries it would be seven.
install = $(BIN)/python -m pip --disable-pip-version-check --quiet --retries 2 install $(1) \
	>$(VENV)/pip.log 2>&1 || { cat $(VENV)/pip.log >&2; exit 1; }

.DEFAULT_GOAL := help
.PHONY: bench-peers bench-scale chart-font clients help demo demo-new setup init run test unit coverage flaky soak check format lint types arrows bench lock clean

help: ## this list
	@awk -F ':.*## ' '/^[a-z-]+:.*## / {printf "  make %-11s %s\n", $$1, $$2}' Makefile

demo: $(RUNTIME) ## a chat in this terminal: sandbox supplier, nothing to sign up for
	@$(BIN)/creditbot demo

demo-new: $(RUNTIME) ## the same, from the beginning
	@rm -rf .demo
	@$(BIN)/creditbot demo

setup: $(RUNTIME) ## the environment in .venv, which the others set up when they need it

init: $(RUNTIME) ## asks for tokens and keys, writes .env
	@$(BIN)/creditbot init

run: $(RUNTIME) ## the real service, by the settings in .env
	@$(BIN)/creditbot run

test: $(DEVELOP) ## every test, small sizes
	@$(BIN)/python -m pytest -q $(SPREAD)

unit: $(DEVELOP) ## the inner loop: tests that need neither a database nor a process
	@$(BIN)/python -m pytest -q $(SPREAD) --ignore=tests/system -m "unit and not slow"

coverage: $(DEVELOP) ## what no test reaches, by tests/uncovered.toml; takes half as long again as the tests
	@rm -f .coverage .coverage.*
	@$(BIN)/python -m coverage run -m pytest -q $(SPREAD)
	@$(BIN)/python -m coverage combine -q
	@$(BIN)/python -m coverage report
	@$(BIN)/python -m tests.support.uncovered

flaky: $(DEVELOP) ## every test five times, on twice as many workers as usual: names what failed
	@for round in 1 2 3 4 5; do \
		$(BIN)/python -m pytest -q $(SPREAD_TWICE) 2>&1 | grep -E "^(FAILED|ERROR)|passed|failed" | sed "s/^/round $$round: /"; \
	done

soak: $(DEVELOP) ## the same tests at full size
	@CREDITBOT_TEST_SIZE=full $(BIN)/python -m pytest -q $(SPREAD)

check: format lint types arrows test ## format, lint, types, arrows, tests

format: $(DEVELOP) ## is everything formatted?
	@$(BIN)/ruff format --check .

lint: $(DEVELOP) ## ruff's rules
	@$(BIN)/ruff check .

types: $(DEVELOP) ## mypy, strict
	@$(BIN)/mypy

arrows: $(DEVELOP) ## who may import whom
	@$(BIN)/lint-imports

bench: $(DEVELOP) ## speed, each against a yardstick in the same run
	@$(BIN)/python -m benchmarks.ledger
	@$(BIN)/python -m benchmarks.ask
	@$(BIN)/python -m benchmarks.failover
	@$(BIN)/python -m benchmarks.shared_harm
	@$(BIN)/python -m benchmarks.bombs

bench-scale: $(DEVELOP) ## four processes on one PostgreSQL; then minutes of a day of a million asks
	@$(BIN)/python -m benchmarks.scale
	@$(BIN)/python -m benchmarks.day --database postgres

bench-peers: $(DEVELOP) ## the same figures of LiteLLM's proxy beside ours; installs it apart, once
	@$(BIN)/python -m benchmarks.peers
	@$(BIN)/python -m benchmarks.api

clients: $(DEVELOP) ## the clients that people use before the demo's API; installs them apart, once
	@$(BIN)/python -m tests.clients

lock: $(DEVELOP) ## renews all lock files (needs uv and npm)
	@uv pip compile -q --universal --generate-hashes --no-header --no-annotate --python-version 3.11 \
		pyproject.toml -o requirements.lock
	@uv pip compile -q --universal --generate-hashes --no-header --no-annotate --python-version 3.11 \
		--extra dev pyproject.toml -o requirements-dev.lock
	@$(BIN)/python -m tests.clients.locks

# From Debian's fonts-noto-cjk: make chart-font FONT=/path/to/NotoSansCJK-Regular.ttc
chart-font: $(RUNTIME) ## renews the font of the charts, with every sign of the translations
	@LC_ALL=C.UTF-8 $(BIN)/pyftsubset $(FONT) --font-number=2 --text-file=bots/locale/zh-CN.po \
		--no-hinting --desubroutinize --layout-features= --name-IDs=1,2,4,6,13,14 \
		--output-file=bots/render/chart_font.otf

clean: ## removes the environment; databases stay
	@rm -rf $(VENV) build *.egg-info

# A stamp each: set-up runs when its lock is newer, and prints nothing when all is well.
$(VENV)/bin/python:
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || \
		{ echo "Python 3.11 or newer is needed: make PYTHON=/path/to/python3.11 …" >&2; exit 1; }
	@$(PYTHON) -m venv $(VENV)

$(RUNTIME): $(VENV)/bin/python requirements.lock pyproject.toml
	@echo "Setting up, this once. It takes a minute or two, and longer where packages come slowly." >&2
	@echo "  1/2  $$(grep -c '^[a-z].*==' requirements.lock) packages, each checked against its hash …" >&2
	@$(call install,--no-compile --require-hashes -r requirements.lock)
	@echo "  2/2  creditbot itself …" >&2
	@$(call install,--no-deps --no-build-isolation -e .)
	@# What the demo loads is compiled now, not while somebody waits for its first prompt.
	@$(BIN)/python -c 'import alembic.command, bots.demo'
	@touch $@

$(DEVELOP): $(RUNTIME) requirements-dev.lock
	@echo "Setting up what tests need, this once …" >&2
	@$(call install,--no-compile --require-hashes -r requirements-dev.lock)
	@touch $@
