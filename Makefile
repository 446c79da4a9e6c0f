# Every command a person needs; `make` alone prints them.
SHELL := bash
.SHELLFLAGS := -eu -o pipefail -c
.DEFAULT_GOAL := help
.DELETE_ON_ERROR:
MAKEFLAGS += --no-print-directory

PYTHON ?= python3
# Where a run writes; another folder is another, independent instance of the stack.
VAR ?= var

ENV := var/env
UV := $(ENV)/uv/bin/uv
ENVIRONMENTS := stack airflow dbt tagifai airbyte
# PyPI hosts Python packages; interpreters it does not.
export UV_PYTHON_DOWNLOADS := never
# The launcher reads the settings of those that it starts.
STACK := PYTHONPATH=airflow/dags:airbyte $(ENV)/stack/bin/python -m stack --var "$(VAR)"
# Runs pytest in an environment with the test tools after the environment's own packages.
SITE := $(ENV)/dev/lib/python3.11/site-packages
PYTEST = -c "import site, sys; site.addsitedir('$(SITE)'); import pytest; sys.exit(pytest.main())"
# ENVIRONMENT:FOLDER
TESTS := stack:stack tagifai:tagifai airbyte:airbyte dbt:dbt_transforms airflow:great_expectations airflow:airflow stack:e2e

# Not even `make doctor` starts without it.
ifneq ($(shell find -L $(ENV)/*/bin/python -type l 2>/dev/null),)
$(error The Python that $(ENV) was made with is gone from this machine: delete $(ENV), then give the command again)
endif

.PHONY: help
help: ## these lines
	@awk -F ':.*## ' '/^[a-z-]+:.*## / {printf "make %-12s %s\n", $$1, $$2}' $(MAKEFILE_LIST)
	@echo
	@echo "run and predict take SOURCE=folder-or-URL, CONFIG=file.yaml, INPUT=file, OUTPUT=file (see README.md)"

.PHONY: run
run: setup ## run dataops, then mlops, on SOURCE=… with CONFIG=…; a summary; stop
	@$(STACK) run $(if $(SOURCE),--source "$(SOURCE)") $(if $(CONFIG),--config "$(CONFIG)")

.PHONY: predict
predict: setup ## tag the projects of INPUT=file.csv with the champion into OUTPUT=file.csv
	@$(STACK) predict --input "$(INPUT)" --output "$(OUTPUT)"

.PHONY: explain
explain: setup ## write the page of the latest run or of RUN=…, from source to champion, as HTML
	@$(STACK) explain $(if $(RUN),--run "$(RUN)")

.PHONY: up
up: setup ## start the stack and keep it running, on SOURCE=… with CONFIG=…
	@$(STACK) up $(if $(SOURCE),--source "$(SOURCE)") $(if $(CONFIG),--config "$(CONFIG)")

.PHONY: status
status: setup ## what runs and where
	@$(STACK) status

.PHONY: down
down: setup ## stop the stack
	@$(STACK) down

.PHONY: doctor
doctor: $(ENV)/stack/.ready ## what a run needs of this machine, what is not so, and what to do
	@$(STACK) doctor $(if $(CONFIG),--config "$(CONFIG)")

.PHONY: demo-failure
demo-failure: setup ## feed bad rows on purpose; the gate that stops them, and what consumers read, unchanged
	@$(STACK) demo-failure $(if $(CONFIG),--config "$(CONFIG)")

.PHONY: validate
validate: setup ## run the Great Expectations checkpoints without Airflow
	@$(STACK) validate

.PHONY: test
test: setup $(ENV)/dev/.ready ## all tests, each folder in the environment of what it tests
	@failed=; for folder in $(TESTS); do \
	  $(ENV)/$${folder%%:*}/bin/python $(PYTEST) tests/$${folder#*:} || failed+=" tests/$${folder#*:}"; \
	done; if [ "$$failed" ]; then echo "failed:$$failed" >&2; exit 1; fi

.PHONY: torture
torture: setup ## kill processes, fill the disk, set the clock, … ROUNDS=3 times each; are the tables right after it?
	@$(STACK) torture $(if $(ONLY),--only "$(ONLY)") $(if $(ROUNDS),--rounds "$(ROUNDS)") $(if $(SEED),--seed "$(SEED)") \
	  $(if $(SOURCE),--source "$(SOURCE)") $(if $(CONFIG),--config "$(CONFIG)")

.PHONY: bench
bench: setup ## measure ONLY=group, or all groups, against their bounds; into var/bench.json
	@$(STACK) bench $(if $(ONLY),--only "$(ONLY)") $(if $(SOURCE),--source "$(SOURCE)") \
	  $(if $(CONFIG),--config "$(CONFIG)") $(if $(ROUNDS),--rounds "$(ROUNDS)")

.PHONY: lint
lint: $(ENV)/dev/.ready ## style and common mistakes
	@$(ENV)/dev/bin/ruff check
	@$(ENV)/dev/bin/ruff format --check

.PHONY: lock
lock: $(UV) ## resolve requirements/NAME.in into NAME.txt; a version that still fits stays
	@for name in uv $(ENVIRONMENTS) dev; do \
	  echo "$$name: resolving"; \
	  $(UV) pip compile --quiet --universal --python-version 3.11 --generate-hashes --no-emit-index-url \
	    --custom-compile-command "make lock" $$(sed -n 's/^# uv: //p' requirements/$$name.in) \
	    --output-file requirements/$$name.txt requirements/$$name.in; \
	done

.PHONY: clean
clean: ## stop the stack and delete var/: environments, databases, models, logs
	@if [ -e $(ENV)/stack/.ready ]; then $(STACK) down; fi
	@rm -rf var

.PHONY: setup
setup: ## create the environments; again only where a lock changed (the others call it)
	@$(MAKE) --silent --jobs $(ENVIRONMENTS:%=$(ENV)/%/.ready)

$(UV): requirements/uv.txt
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info[:2] != (3, 11))' || \
	  { echo "Python 3.11 is needed and $(PYTHON) is another: make PYTHON=/path/to/python3.11 …" >&2; exit 1; }
	@$(PYTHON) -c 'import venv, ensurepip' || \
	  { echo "$(PYTHON) has no venv or pip: install them (Debian: apt install python3-venv python3-pip)" >&2; exit 1; }
	@command -v setpriv >/dev/null || { echo "setpriv is needed: install util-linux" >&2; exit 1; }
	@$(PYTHON) -c 'import shutil, sys; sys.exit(shutil.disk_usage(".").free < 4e9)' || \
	  { echo "Setting up and a run need 4 GB, and less is free here: free some" >&2; exit 1; }
	@echo "Setting up (once; a few minutes)"
	@$(PYTHON) -m venv $(ENV)/uv
	@$(ENV)/uv/bin/pip install --quiet --disable-pip-version-check --require-hashes -r requirements/uv.txt
	@touch $@

$(ENV)/%/.ready: requirements/%.txt | $(UV)
	@$(UV) venv --quiet --allow-existing --python "$$(command -v $(PYTHON))" $(ENV)/$*
	@$(UV) pip sync --quiet --require-hashes --compile-bytecode --python $(ENV)/$*/bin/python $<
	@$(INSTALL_$*)
	@touch $@
	@echo "  $* is ready"

# Our own package, into the environment of its libraries; built by the locked uv-build.
INSTALL_tagifai = $(UV) pip install --quiet --no-deps --no-index --no-build-isolation \
  --python $(ENV)/tagifai/bin/python --editable .
