# SPDX-License-Identifier: Apache-2.0
# Everything installs into .venv/, the XDG cache and state folders, and out/.

PYTHON ?= python3
VENV := .venv
SANDBOX := $(VENV)/bin/sandbox
DEMO_MACHINE := demo
XTEST_MACHINE := xtest
GROUPS := sample
# Of tests that boot nothing, files are shared out among the host's cores.
SIDE_BY_SIDE := -n auto --dist loadfile
export PIP_DISABLE_PIP_VERSION_CHECK := 1

.DEFAULT_GOAL := help
.PHONY: help setup setup-test demo test unit core-test e2e reproducible xtest lint format clean

help: ## Show this list
	@awk -F ':.*## ' '/^[a-z0-9-]+:.*## / { printf "  make %-12s %s\n", $$1, $$2 }' Makefile

setup: $(VENV)/.stamp-run ## Install what the sandbox needs: Debian packages (named first), Python packages in .venv
	@optee-build/install-host-packages optee-build/host-packages.txt

setup-test: setup $(VENV)/.stamp-test ## The same, and what the tests need
	@optee-build/install-host-packages optee-build/host-packages-test.txt

$(VENV)/.stamp-run: pyproject.toml
	@optee-build/install-host-packages optee-build/host-packages.txt
	@echo "Installing Python packages into $(VENV)"
	@$(PYTHON) -c 'import sys; v = sys.version_info; sys.exit(v < (3, 11) and f"error: Python 3.11 or later is needed, this is {v.major}.{v.minor}")'
	@test -x $(VENV)/bin/python || $(PYTHON) -m venv $(VENV)
	@$(VENV)/bin/python -m pip install --quiet --editable .
	@touch $@

$(VENV)/.stamp-test: $(VENV)/.stamp-run
	@echo "Installing the tests' Python packages into $(VENV)"
	@$(VENV)/bin/python -m pip install --quiet --editable '.[test]'
	@touch $@

demo: setup ## Boot, send an encrypted photo of a bicycle, print boxes, write out/dog.boxes.png
	@$(SANDBOX) photos fetch --out out/photos
	@trap 'exit 130' INT TERM; trap '$(SANDBOX) --machine $(DEMO_MACHINE) down' EXIT; \
		$(SANDBOX) --machine $(DEMO_MACHINE) up && \
		$(SANDBOX) --machine $(DEMO_MACHINE) detect out/photos/dog.jpg --out out

test: setup-test ## Pass every test, end to end included
	@$(SANDBOX) build
	@status=0; \
		$(VENV)/bin/python -m pytest $(SIDE_BY_SIDE) --ignore tests/e2e || status=$$?; \
		$(VENV)/bin/python -m pytest tests/e2e || status=$$?; \
		exit $$status

unit: setup-test ## Tests that boot nothing and compile nothing
	@$(VENV)/bin/python -m pytest $(SIDE_BY_SIDE) tests/unit

core-test: setup-test ## The portable core, under sanitizers and for arm64
	@$(VENV)/bin/python -m pytest $(SIDE_BY_SIDE) tests/core_host

e2e: setup-test ## Tests on the real stack
	@$(SANDBOX) build
	@$(VENV)/bin/python -m pytest tests/e2e

reproducible: setup-test ## Build firmware and TAs twice, in different folders: the same bytes (minutes)
	@$(VENV)/bin/python -m pytest tests/reproducible

xtest: setup ## OP-TEE's own tests: a sample, or GROUPS=all, GROUPS="4000 pkcs11"...; report in out/xtest.xml
	@trap 'exit 130' INT TERM; trap '$(SANDBOX) --machine $(XTEST_MACHINE) down' EXIT; \
		$(SANDBOX) --machine $(XTEST_MACHINE) up && \
		$(SANDBOX) --machine $(XTEST_MACHINE) xtest $(GROUPS) --junit out/xtest.xml

lint: setup-test ## ruff, mypy, room boundaries
	@$(VENV)/bin/python -m pytest tests/unit/test_linters.py tests/unit/test_boundaries.py

format: setup-test ## Format the Python files
	@$(VENV)/bin/ruff format sandbox tests fixtures
	@$(VENV)/bin/ruff check --fix sandbox tests fixtures

clean: ## Remove out/ and .venv/ (the cache in the XDG folders stays)
	@rm -rf out $(VENV)
