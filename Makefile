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
# Runs pytest in an environment with the test tools after the environment's own packages; two files at a time.
SITE := $(ENV)/dev/lib/python3.11/site-packages
PYTEST = -c "import site, sys; site.addsitedir('$(SITE)'); import pytest; sys.exit(pytest.main())" \
  --numprocesses=2 --dist=loadfile --no-loadscope-reorder
# ENVIRONMENT:FOLDER
TESTS := stack:stack tagifai:tagifai airbyte:airbyte dbt:dbt_transforms airflow:great_expectations airflow:airflow \
  stack:docker stack:e2e

# A source given on the command line counts more than `.env`.
COMPOSE_SOURCE = $(if $(SOURCE),SOURCE_URL=$(if $(filter http%,$(SOURCE)),"$(SOURCE)", SOURCE_FOLDER="$(SOURCE)"))

# Compose does not see by itself that it is in a pipe.
NO_TTY = $$([ -t 0 ] && [ -t 1 ] || echo --no-TTY)

# Not even `make doctor` starts without it.
ifneq ($(shell find -L $(ENV)/*/bin/python -type l 2>/dev/null),)
$(error The Python that $(ENV) was made with is gone from this machine: delete $(ENV), then give the command again)
endif

.PHONY: help
help: ## these lines
	@awk -F ':.*## ' '/^[a-z-]+:.*## / {printf "make %-13s %s\n", $$1, $$2}' $(MAKEFILE_LIST)
	@echo
	@echo "run, up and airbyte-… take SOURCE=folder-or-URL and CONFIG=file.yaml, predict INPUT=file and OUTPUT=file (see README.md)"

.PHONY: run
ifeq ($(PLACE),compose)
run:
	@[ ! "$(CONFIG)" ] || { echo "CONFIG=… is not for the containers: edit config/base.yaml, which they see" >&2; exit 1; }
	@$(COMPOSE_SOURCE) docker compose up --detach --wait || { docker compose logs --no-log-prefix --tail 3 init; \
	  echo "make doctor PLACE=compose looks for the reason" >&2; exit 1; }
	@$(COMPOSE_SOURCE) docker compose run --rm --no-deps connect run
else
run: setup ## run dataops, then mlops, on SOURCE=… with CONFIG=…; a summary; stop (PLACE=compose: in the containers)
	@$(STACK) run $(if $(SOURCE),--source "$(SOURCE)") $(if $(CONFIG),--config "$(CONFIG)")

endif

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
doctor: $(ENV)/stack/.ready ## what a run needs of this machine, what is not so, and what to do (PLACE=compose too)
	@$(COMPOSE_SOURCE) $(STACK) doctor $(if $(CONFIG),--config "$(CONFIG)") $(if $(PLACE),--place "$(PLACE)")

.PHONY: demo-failure
demo-failure: setup ## feed bad rows on purpose; the gate that stops them, and what consumers read, unchanged
	@$(STACK) demo-failure $(if $(CONFIG),--config "$(CONFIG)")

.PHONY: airbyte-plan airbyte-apply
airbyte-plan: setup ## what airbyte-apply would change in the Airbyte of this stack or of PLACE=…
airbyte-apply: setup ## make its sources, destinations and connections as airbyte/connections.yaml has them; DELETE=1 others
airbyte-plan airbyte-apply:
	@$(STACK) $@ $(if $(PLACE),--place "$(PLACE)") $(if $(DELETE),--delete) \
	  $(if $(SOURCE),--source "$(SOURCE)") $(if $(CONFIG),--config "$(CONFIG)")

.PHONY: airbyte-sync
airbyte-sync: setup ## run the connection NAME=… and show records, bytes and rate
	@$(STACK) airbyte-sync --name "$(NAME)" $(if $(PLACE),--place "$(PLACE)") \
	  $(if $(SOURCE),--source "$(SOURCE)") $(if $(CONFIG),--config "$(CONFIG)")

.PHONY: validate
validate: setup ## run the Great Expectations checkpoints without Airflow
	@$(STACK) validate

.PHONY: password
password: ## the logins of the container stack
	@docker compose run --rm --no-deps connect password

.PHONY: logs
logs: ## follow the logs of the container stack, or of SERVICE=…
	@docker compose logs --follow --tail 100 $(SERVICE) || [ $$? = 130 ]

.PHONY: shell
shell: ## a shell in the container that runs the tasks, or in that of SERVICE=…
	@docker compose exec $(NO_TTY) $(or $(SERVICE),airflow-scheduler) sh -c 'exec $$(command -v entrypoint) bash'

.PHONY: psql
psql: ## psql in the container stack's warehouse, or in DATABASE=…
	@docker compose exec $(NO_TTY) postgres psql --username postgres $(or $(DATABASE),warehouse)

.PHONY: images
images: ## make the container stack's images; without a registry their bases too (docs/closed-networks.md)
	@docker/images

.PHONY: backup
backup: ## the container stack's databases, files and passwords into FILE=… (backups/…), see docs/backup.md
	@docker/backup $(if $(FILE),"$(FILE)")

.PHONY: restore
restore: ## bring them back from FILE=…; asks first, unless YES=1
	@docker/restore "$(FILE)"

.PHONY: nuke
nuke: ## delete the container stack with its volumes; asks first, unless YES=1
	@docker/nuke

.PHONY: test
test: setup $(ENV)/dev/.ready $(ENV)/bqemulator/.ready ## all tests, each folder in the environment of what it tests
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
	@$(ENV)/dev/bin/hadolint docker/Dockerfile docker/stand-ins/*.Dockerfile
	@$(ENV)/dev/bin/shellcheck --external-sources --severity=warning \
	  $$(grep --files-with-matches --no-messages --extended-regexp --max-count=1 '^#!.*sh$$' docker/* docker/*/* .ci/*)

.PHONY: audit
audit: $(ENV)/dev/.ready ## known vulnerabilities of the locked packages, where a database can be reached
	@$(ENV)/dev/bin/python requirements/audit.py

.PHONY: lock
lock: $(UV) ## resolve requirements/NAME.in into NAME.txt; a version that still fits stays
	@for name in uv $(ENVIRONMENTS) dev bqemulator; do \
	  echo "$$name: resolving"; \
	  $(UV) pip compile --quiet --universal --python-version 3.11 --generate-hashes --no-emit-index-url \
	    --custom-compile-command "make lock" $$(sed -n 's/^# uv: //p' requirements/$$name.in) \
	    --output-file requirements/$$name.txt requirements/$$name.in; \
	done

.PHONY: clean
clean: ## stop the stack and delete var/: environments, databases, models, logs; with VAR=… that instance alone
	@[ "$(VAR)" = var ] || [ -e "$(VAR)/secrets.json" ] || \
	  { echo "$(VAR) is no instance of the stack, so nothing was deleted" >&2; exit 1; }
	@if [ -e $(ENV)/stack/.ready ]; then $(STACK) down; fi
	@rm -rf "$(VAR)"

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
