# The one way to work here; `make` alone lists the targets. Nothing is installed outside this directory.

PYTHON ?= python3
UV ?= $(shell command -v uv 2>/dev/null || echo $(CURDIR)/.tools/bin/uv)
# A generated project below build/ uses the same uv.
export UV
# Trust the certificates that this machine trusts, as git does: behind a company's proxy uv's own list is not enough.
export UV_SYSTEM_CERTS ?= true

BIN := .venv/bin
SYNCED := .venv/.synced
# Where projects are rendered to; `make demo BUILD=...` takes another folder, which `make clean` leaves alone.
BUILD := build
# Over what is there, so that a second demo is quick and still has the users of the first.
RENDER := $(BIN)/cookiecutter . --no-input --default-config --overwrite-if-exists --output-dir $(BUILD)
PROJECT := '{{cookiecutter.project_slug}}'
COMPILE := $(UV) pip compile --quiet --upgrade --universal --python-version 3.11 --generate-hashes --no-annotate \
	--custom-compile-command 'make lock'

.DEFAULT_GOAL := help
.PHONY: help setup demo feature adopt documents manifest test check format bench bench-stack bench-chat bench-imports bench-lambda bench-assistant faults faults-render lock clean python

help: ## list the targets
	@awk -F ':.*## ' '/^[a-z]+:.*## /{printf "  make %-8s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

setup: $(SYNCED) ## install the template's own tools

demo: $(SYNCED) ## render the default project into build/, set it up and serve it on http://127.0.0.1:8000
	$(RENDER)
	@$(MAKE) --no-print-directory -C $(BUILD)/acme-service run

feature: $(SYNCED) ## add or remove a feature in a project: PROJECT=../acme ADD=auth, or REMOVE=auth
	@$(BIN)/python -m tools.feature "$(PROJECT)" $(if $(ADD),--add "$(ADD)") $(if $(REMOVE),--remove "$(REMOVE)")

adopt: $(SYNCED) ## bring a project of 0.1 to 0.3 to this version: PROJECT=../acme
	@$(BIN)/python -m tools.adopt "$(PROJECT)"

documents: $(SYNCED) ## write the settings into the template's .env.example and docs/configuration.md
	@$(RENDER) && $(MAKE) --no-print-directory -C $(BUILD)/acme-service setup
	@$(BIN)/python -m tools.documents $(CURDIR)/$(BUILD)/acme-service/.venv/bin/python

manifest: $(SYNCED) ## write VERSION, REQUIRES and MANIFEST of the chassis, after a change to it
	@$(BIN)/python -m tools.manifest

test: $(SYNCED) ## run every test; ARGS="-k words" chooses, ARGS=--renders=all renders more
	$(BIN)/pytest --numprocesses 2 --dist loadfile $(ARGS)

check: $(SYNCED) ## lint, format and types of the template's own code
	$(BIN)/ruff check
	$(BIN)/ruff format --check
	$(BIN)/mypy

format: $(SYNCED) ## format, and fix what can be fixed
	$(BIN)/ruff check --fix
	$(BIN)/ruff format

bench: $(SYNCED) ## measure; the figures of README.md and docs/benchmark.svg come from here
	$(RENDER)
	@$(MAKE) --no-print-directory -C $(BUILD)/acme-service setup
	@$(MAKE) --no-print-directory bench-stack
	@$(MAKE) --no-print-directory bench-chat
	@$(MAKE) --no-print-directory bench-imports
	@$(MAKE) --no-print-directory bench-lambda
	@$(MAKE) --no-print-directory bench-assistant
	$(BIN)/python benchmarks/run.py $(BUILD)/acme-service $(BUILD)/bench-venv $(BUILD)/chat/acme-service \
		$(BUILD)/imports/acme-service $(BUILD)/lambda/acme-service $(BUILD)/assistant/acme-service

bench-stack: $(SYNCED)
	@$(UV) venv --quiet --allow-existing --python $(BUILD)/acme-service/.venv/bin/python $(BUILD)/bench-venv
	@$(UV) pip sync --quiet --require-hashes --python $(BUILD)/bench-venv/bin/python benchmarks/requirements.txt

bench-chat: $(SYNCED)
	$(BIN)/cookiecutter . --no-input --default-config --overwrite-if-exists --output-dir $(BUILD)/chat profile=minimal chat=yes
	@$(MAKE) --no-print-directory -C $(BUILD)/chat/acme-service setup

bench-imports: $(SYNCED)
	$(BIN)/cookiecutter . --no-input --default-config --overwrite-if-exists --output-dir $(BUILD)/imports profile=minimal csv_import=yes
	@$(MAKE) --no-print-directory -C $(BUILD)/imports/acme-service setup

bench-lambda: $(SYNCED)
	$(BIN)/cookiecutter . --no-input --default-config --overwrite-if-exists --output-dir $(BUILD)/lambda aws_lambda=yes
	@$(MAKE) --no-print-directory -C $(BUILD)/lambda/acme-service setup

bench-assistant: $(SYNCED)
	$(BIN)/cookiecutter . --no-input --default-config --overwrite-if-exists --output-dir $(BUILD)/assistant profile=minimal ai_chat=yes
	@$(MAKE) --no-print-directory -C $(BUILD)/assistant/acme-service setup

faults: faults-render ## break what the service stands on, and see what it promises hold; LONG=1 adds a soak, ONLY="name name" chooses
	@PYTHONPATH='$(CURDIR)/tests' $(BUILD)/acme-service/.venv/bin/python -m faults $(if $(LONG),--long) $(ONLY)

# The scenarios use the harness of the chassis's tests, and so what those need.
faults-render: $(SYNCED)
	$(RENDER) profile=full
	@$(MAKE) --no-print-directory -C $(BUILD)/acme-service setup
	@$(UV) pip install --quiet --python $(BUILD)/acme-service/.venv/bin/python --requirements tests/chassis/requirements.txt

# What the benchmark compares stands on the same versions on both sides: those of the project are the constraints.
lock: $(SYNCED) ## renew the pinned versions in requirements.txt, and in benchmarks/ for the stack compared with
	$(COMPILE) --group dev --output-file requirements.txt
	$(COMPILE) --group fuzz --output-file tests/faults/requirements.txt
	sed -n 's/^  "\([a-z0-9-]*==.*\)",$$/\1/p' $(PROJECT)/pyproject.toml | \
		$(COMPILE) --group bench --constraint - --output-file benchmarks/requirements.txt
	sed -n 's/^  "\([a-z0-9-]*==.*\)",$$/\1/p' $(PROJECT)/pyproject.toml | \
		$(COMPILE) --group open --constraint - --output-file tests/chassis/open/requirements.txt

clean: ## remove everything that can be made again, the projects in build/ included
	rm -rf .tools .venv build .hypothesis .mypy_cache .pytest_cache .ruff_cache
	find . -name __pycache__ -type d -prune -exec rm -rf {} +

python:
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || { echo "Python 3.11 or newer is needed, and \
	'$(PYTHON)' is not: install one, or name it as in 'make PYTHON=/usr/bin/python3.12 ...'" >&2; exit 1; }

# The stamp is younger than what it was made from, so an interrupted set-up is simply done again.
$(SYNCED): requirements.txt | python $(filter $(CURDIR)/.tools/bin/uv,$(UV))
	@$(UV) venv --quiet --allow-existing --python "$$(command -v $(PYTHON))" .venv
	@$(UV) pip sync --quiet --require-hashes --python $(BIN)/python requirements.txt
	@touch $@

$(CURDIR)/.tools/bin/uv: | python
	$(PYTHON) -m venv .tools
	.tools/bin/pip install --quiet --disable-pip-version-check 'uv>=0.13,<0.14'
