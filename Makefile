# Every command a person needs; `make` alone prints them.
SHELL := bash
.SHELLFLAGS := -eu -o pipefail -c
.DEFAULT_GOAL := help
.DELETE_ON_ERROR:
MAKEFLAGS += --no-print-directory

PYTHON ?= python3
# The place: embedded (no Docker), compose, or another of config/places.
PLACE ?= embedded
# Folder of everything written; another folder is another, independent instance.
VAR_OF = $(if $(filter-out embedded compose,$1),var/places/$1,var)
VAR ?= $(call VAR_OF,$(PLACE))

ENV := var/env
UV := $(ENV)/uv/bin/uv
# stack/environments.py has the same names; a test in tests/stack compares the lists.
ENVIRONMENTS := stack airflow dbt tagifai airbyte
# What Cloud Composer's builds have of Airflow and its providers, for checks and tests.
COMPOSER := composer-3.1.7 composer-3.3.1
# PyPI has no interpreters.
export UV_PYTHON_DOWNLOADS := never

# A source and an application given on the command line override `.env`.
COMPOSE_SETTINGS = $(if $(CONFIGURED),APPLICATIONS="$(CONFIGURED)" )$(if $(SOURCE),SOURCE_URL=$(if \
  $(filter http%,$(SOURCE)),"$(SOURCE)", SOURCE_FOLDER="$(SOURCE)"))
# Compose does not notice by itself that it is in a pipe.
NO_TTY = $$([ -t 0 ] && [ -t 1 ] || echo --no-TTY)
# The launcher, in its environment on this machine; it imports the settings classes of the services that it starts.
PYTHON_STACK := PYTHONPATH=airflow/dags:airbyte $(ENV)/stack/bin/python -m
# The application that a command is about; the first one unless it is named.
ABOUT = $(if $(APPLICATION), --application "$(APPLICATION)")
SETTINGS = $(if $(SOURCE),--source "$(SOURCE)") $(if $(CONFIG),--config "$(CONFIG)")

# Where the commands work: with PLACE=compose in the containers, otherwise on a stack without Docker.
ifeq ($(PLACE),compose)
ifneq ($(CONFIG),)
# The containers read an application's file by its name, and the folder or URL of its files is what they mount or load.
CONFIGURED := $(patsubst config/applications/%.yaml,%,$(filter config/applications/%.yaml,\
  $(patsubst ./%,%,$(patsubst $(CURDIR)/%,%,$(CONFIG)))))
ifeq ($(CONFIGURED),)
$(error CONFIG=$(CONFIG) does not reach the containers, only CONFIG=config/applications/NAME.yaml does: edit config/base.yaml, which they read)
endif
ifeq ($(wildcard $(CONFIG)),)
$(error CONFIG=$(CONFIG) does not exist: `make init` writes one)
endif
HASH := \#
SOURCE := $(or $(SOURCE),$(shell sed -n 's/^source: *//p' $(CONFIG) | sed -E "s/^([\"'])(.*)\1( +$(HASH).*)?\$$/\2/; t; s/ +$(HASH).*//"))
endif
STACK = $(COMPOSE_SETTINGS) docker compose run --rm --no-deps connect$(ABOUT)
UP = $(COMPOSE_SETTINGS) docker compose up --detach --wait || { docker compose logs --no-log-prefix --tail 3 init; \
  echo "make doctor PLACE=compose looks for the reason" >&2; exit 1; }
else
STACK = $(PYTHON_STACK) stack --place "$(PLACE)" --var "$(VAR)"$(ABOUT)
READY := setup $(if $(filter bigquery-emulator,$(PLACE)),$(ENV)/emulators/.ready)
OPTIONS = $(SETTINGS)
endif

ifeq ($(wildcard config/places/$(PLACE).yaml),)
ifeq ($(filter airbyte-% setup $(ENV)/%,$(MAKECMDGOALS)),)
$(error PLACE=$(PLACE) is not a place: use one of $(basename $(notdir $(wildcard config/places/*.yaml))))
endif
# Airbyte's declaration may have overlays of other names, for an Airbyte elsewhere.
OVERLAY := --overlay "$(PLACE)"
override PLACE := embedded
endif

# Without this Python not even `make doctor` starts.
ifneq ($(shell find -L $(ENV)/*/bin/python -type l 2>/dev/null),)
$(error The Python that $(ENV) was made with is gone from this machine: delete $(ENV), then run the command again)
endif

.PHONY: help
help: ## print this list
	@awk -F ':.*## ' '/^[a-z -]+:.*## / {split($$1, names, " "); printf "make %-17s %s\n", names[1], $$2}' $(MAKEFILE_LIST)
	@echo
	@echo "Commands work on the stack without Docker, with PLACE=compose on the containers, or on another PLACE of"
	@echo "config/places; logs, shell, psql, images, backup, restore and nuke are for the containers only. run, up, demo-failure"
	@echo "and airbyte-… take SOURCE=folder-or-URL and CONFIG=file.yaml, with Docker a file of config/applications. predict takes"
	@echo "INPUT=file and OUTPUT=file. See README.md."

.PHONY: run
run: $(READY) ## run dataops, then mlops, on SOURCE=… with CONFIG=…, and print a summary
	@$(UP)
	@$(STACK) run $(OPTIONS)

.PHONY: predict
predict: $(READY) ## predict the labels of INPUT=file with the champion and write OUTPUT=file
ifeq ($(PLACE),compose)
	@$(COMPOSE_SETTINGS) docker/predict "$(INPUT)" "$(OUTPUT)"$(ABOUT)
else
	@$(STACK) predict --input "$(INPUT)" --output "$(OUTPUT)"
endif

.PHONY: init
init: setup ## look at DATA=… (one or two files, a folder, URLs) and write config/applications/NAME.yaml; YES=1 does not ask
	@$(PYTHON_STACK) stack init-application --name "$(NAME)" --data "$(DATA)" --id "$(ID)" --texts "$(TEXTS)" \
	  --label "$(LABEL)" --date "$(DATE)" $(if $(YES),--yes)

.PHONY: explain
explain: $(READY) ## write an HTML page about the latest run, or about RUN=…, from source to champion
	@$(STACK) explain $(if $(RUN),--run "$(RUN)")

.PHONY: validate
validate: $(READY) ## run the Great Expectations checkpoints without Airflow
	@$(STACK) validate

.PHONY: demo-failure
demo-failure: $(READY) ## load bad rows on purpose and show the gate that stops them
	@$(STACK) demo-failure $(OPTIONS)

.PHONY: up
up: $(READY) ## start the services and keep them running, on SOURCE=… with CONFIG=…
	@$(or $(UP),$(STACK) up $(OPTIONS))

.PHONY: status
status: $(READY) ## list the services, their states and addresses
	@$(if $(UP),docker compose ps --all,$(STACK) status)

.PHONY: down
down: $(READY) ## stop the services
	@$(if $(UP),docker compose stop airflow-scheduler && docker compose down --remove-orphans,$(STACK) down)

.PHONY: password
password: $(READY) ## show the logins
	@$(STACK) password

.PHONY: diff-places
diff-places: setup ## compare the latest runs of places A=… and B=…: DAG files, packages, tables, seconds
	@$(PYTHON_STACK) stack diff-places --a "$(A)" --a-var "$(call VAR_OF,$(A))" --b "$(B)" --b-var "$(call VAR_OF,$(B))"

.PHONY: doctor
doctor: $(ENV)/stack/.ready ## check this machine and explain how to fix problems
	@$(COMPOSE_SETTINGS) $(PYTHON_STACK) stack --place "$(PLACE)" --var "$(VAR)" doctor \
	  $(if $(CONFIG),--config "$(CONFIG)")

.PHONY: airbyte-plan airbyte-apply
airbyte-plan: $(READY) ## show what airbyte-apply would change in the Airbyte of this stack, or of PLACE=…
airbyte-apply: $(READY) ## make Airbyte match airbyte/connections.yaml; DELETE=1 deletes what is not in it
airbyte-plan airbyte-apply:
	@$(STACK) $@ $(OVERLAY) $(if $(DELETE),--delete) $(OPTIONS)

.PHONY: airbyte-sync
airbyte-sync: $(READY) ## run the connection NAME=… and show records, bytes and rate
	@$(STACK) airbyte-sync --name "$(NAME)" $(OVERLAY) $(OPTIONS)

.PHONY: logs
logs: ## follow the logs of the containers, or of SERVICE=…
	@docker compose logs --follow --tail 100 $(SERVICE) || [ $$? = 130 ]

.PHONY: shell
shell: ## open a shell in the container that runs the tasks, or in SERVICE=…
	@docker compose exec $(NO_TTY) $(or $(SERVICE),airflow-scheduler) sh -c 'exec $$(command -v entrypoint) bash'

.PHONY: psql
psql: ## open psql in the containers' warehouse, or in DATABASE=…
	@docker compose exec $(NO_TTY) postgres psql --username postgres $(or $(DATABASE),warehouse)

.PHONY: images
images: ## build the images; without a registry also their bases (docs/closed-networks.md)
	@docker/images

.PHONY: image-push
image-push: ## push the image of the tasks to REGISTRY=host:port/name and print its reference by digest
	@docker/push mlops-tasks "$(REGISTRY)"

# The place that is checked and bundled; without PLACE=… the preset, with examples for the values of a place of your own.
ON_COMPOSER = --place "$(if $(filter file,$(origin PLACE)),composer,$(PLACE))"

.PHONY: composer-check
composer-check: $(patsubst %,$(ENV)/%/.ready,stack airflow $(COMPOSER)) ## look for what would fail on Cloud Composer, without a cloud
	@$(PYTHON_STACK) deploy check $(ON_COMPOSER) $(if $(PREINSTALLED),--preinstalled "$(PREINSTALLED)")

.PHONY: composer-packages
composer-packages: $(ENV)/stack/.ready ## fetch the packages of the Composer environment ENVIRONMENT=… for composer-check
	@$(PYTHON_STACK) deploy packages $(ON_COMPOSER) $(if $(ENVIRONMENT),--environment "$(ENVIRONMENT)") \
	  $(if $(LOCATION),--location "$(LOCATION)") $(if $(PROJECT),--project "$(PROJECT)") \
	  $(if $(PREINSTALLED),--preinstalled "$(PREINSTALLED)")

.PHONY: composer-bundle
composer-bundle: $(ENV)/stack/.ready ## write what Composer gets of PLACE=… to var/composer/bundle, or OUTPUT=folder
	@$(PYTHON_STACK) deploy bundle $(ON_COMPOSER) $(if $(OUTPUT),--output "$(OUTPUT)")

.PHONY: deploy deploy-rollback deploy-status
deploy: $(ENV)/stack/.ready ## bring the image, files and settings of PLACE=… to its Composer environment; DRY_RUN=1 prints the commands
	@$(PYTHON_STACK) deploy deploy --place "$(PLACE)" $(if $(DRY_RUN),--dry-run)
deploy-rollback: $(ENV)/stack/.ready ## go back to what was deployed before, or to TO=…; not data, not secrets
	@$(PYTHON_STACK) deploy rollback --place "$(PLACE)" $(if $(TO),--to "$(TO)") $(if $(DRY_RUN),--dry-run)
deploy-status: $(ENV)/stack/.ready ## show what is deployed to PLACE=…, and how it differs from this checkout
	@$(PYTHON_STACK) deploy status --place "$(PLACE)"

.PHONY: backup
backup: ## back up the containers' databases, files and passwords to FILE=… (docs/backup.md)
	@docker/backup $(if $(FILE),"$(FILE)")

.PHONY: restore
restore: ## restore a backup, FILE=…; asks first, unless YES=1
	@docker/restore "$(FILE)"

.PHONY: nuke
nuke: ## delete the containers with their volumes; asks first, unless YES=1
	@docker/nuke

# The folders of tests, each with the environment that its tests run in and the other ones that they use.
TESTS := stack devtools sql tagifai emulators dbt_transforms airbyte great_expectations airflow deploy e2e docker kubernetes terraform
ENVIRONMENTS_stack := stack airbyte emulators zetasql
ENVIRONMENTS_devtools := stack airflow airbyte
ENVIRONMENTS_sql := stack zetasql
ENVIRONMENTS_tagifai := tagifai stack emulators zetasql
ENVIRONMENTS_emulators := airbyte stack emulators zetasql
ENVIRONMENTS_dbt_transforms := dbt stack emulators zetasql
ENVIRONMENTS_airbyte := airbyte stack emulators zetasql
ENVIRONMENTS_great_expectations := airflow stack emulators zetasql
ENVIRONMENTS_airflow := airflow stack airbyte dbt tagifai emulators zetasql
ENVIRONMENTS_deploy := stack airflow airbyte dbt tagifai emulators zetasql $(COMPOSER)
ENVIRONMENTS_e2e := $(ENVIRONMENTS) emulators zetasql
ENVIRONMENTS_docker := stack
ENVIRONMENTS_kubernetes := airflow stack
ENVIRONMENTS_terraform := terraform
ENVIRONMENTS_gcp := stack
# Processes, where not two: tests of whole stacks wait more than they compute.
PROCESSES_e2e := 3
PROCESSES_docker := 3
PROCESSES_deploy := 3
# Runs pytest in an environment with the test tools after the environment's own packages.
SITE := $(ENV)/dev/lib/python3.11/site-packages
PYTEST = -c "import site, sys; site.addsitedir('$(SITE)'); import pytest; sys.exit(pytest.main())" \
  --numprocesses=$(or $(PROCESSES_$*),2) --dist=loadgroup
SELECTED = $(or $(if $(ONLY),$(filter $(ONLY),$(TESTS)),$(TESTS)),$(error ONLY=… takes of: $(TESTS)))

.PHONY: test test-all
test: ## run the tests, or those of ONLY=folder with names that match K=…
	@$(MAKE) --keep-going $(SELECTED:%=test-in-%) MARKERS="not slow"
test-all: ## run the rare and slow tests too
	@$(MAKE) --keep-going $(SELECTED:%=test-in-%) $(if $(filter kubernetes,$(SELECTED)),$(COMPOSER:%=test-pods-with-%))

.PHONY: test-gcp
test-gcp: ## promote to a real project and back; MLOPS_GCP_PROJECT and MLOPS_GCP_PLACE name it (docs/production.md)
	@$(MAKE) test-in-gcp MARKERS=gcp

.SECONDEXPANSION:
test-in-%: $$(addsuffix /.ready,$$(addprefix $(ENV)/,dev $$(ENVIRONMENTS_$$*)))
	@$(ENV)/$(firstword $(ENVIRONMENTS_$*))/bin/python $(PYTEST) $(if $(MARKERS),-m "$(MARKERS)") $(if $(K),-k "$(K)") tests/$* \
	  || { [ $$? = 5 ] && [ "$(K)" ]; }

# The pod runner with the provider and the Airflow of Composer's builds.
test-pods-with-%: $$(ENV)/$$*/.ready $$(ENV)/dev/.ready
	@$(ENV)/$*/bin/python $(PYTEST) $(if $(K),-k "$(K)") tests/kubernetes/test_pod_runner.py

.PHONY: torture
torture: setup ## break runs on purpose (kills, full disk, clock, …), ROUNDS=3 each, and check the results; ONLY=… of them
	@$(PYTHON_STACK) devtools --var "$(VAR)" torture $(if $(ONLY),--only "$(ONLY)") $(if $(ROUNDS),--rounds "$(ROUNDS)") \
	  $(if $(SEED),--seed "$(SEED)") $(SETTINGS)

.PHONY: bench
bench: setup ## measure ONLY=group, or all groups, against their bounds; writes var/bench.json
	@$(PYTHON_STACK) devtools --var "$(VAR)" bench --place "$(PLACE)" $(if $(ONLY),--only "$(ONLY)") \
	  $(if $(ROUNDS),--rounds "$(ROUNDS)") $(SETTINGS)

.PHONY: cluster-up cluster-down
cluster-up: ## build (once) and start a Kubernetes with a registry for tests, and print its KUBECONFIG (docs/cluster.md)
	@$(PYTHON) -m devtools.cluster up
cluster-down: ## stop it and delete its data; the programs are kept
	@$(PYTHON) -m devtools.cluster down

# FOLDER:ENVIRONMENT of the code that the type checker reads.
TYPED := stack:stack devtools:stack emulators:emulators deploy:stack airbyte:airbyte airflow:airflow dbt_transforms:dbt tagifai:tagifai
SCRIPTS = $$(grep --files-with-matches --no-messages --extended-regexp --max-count=1 '^\#!.*sh$$' docker/* docker/*/* .ci/* findings/* devtools/*/*)

.PHONY: lint
lint: setup $(ENV)/dev/.ready $(ENV)/emulators/.ready ## check style, types, SQL and common mistakes
	@$(ENV)/dev/bin/ruff check
	@$(ENV)/dev/bin/ruff format --check
	@for each in $(TYPED); do $(ENV)/dev/bin/pyrefly check --min-severity error --summary=none \
	  --python-interpreter-path $(ENV)/$${each#*:}/bin/python "$${each%:*}/**/*.py" || exit 1; done
	@$(ENV)/dev/bin/sqlfluff lint --disable-progress-bar dbt_transforms
	@$(ENV)/dev/bin/hadolint docker/Dockerfile docker/stand-ins/*.Dockerfile tests/lib/*.Dockerfile
	@$(ENV)/dev/bin/shellcheck --external-sources --severity=warning $(SCRIPTS)

.PHONY: format
format: $(ENV)/dev/.ready ## format the code and fix what can be fixed automatically
	@$(ENV)/dev/bin/ruff check --fix --quiet || true
	@$(ENV)/dev/bin/ruff format
	@$(ENV)/dev/bin/sqlfluff fix --disable-progress-bar --quiet dbt_transforms

.PHONY: audit
audit: $(ENV)/dev/.ready ## look for known vulnerabilities of the locked packages, if a database can be reached
	@$(ENV)/dev/bin/python requirements/audit.py

.PHONY: lock
lock: $(UV) ## lock requirements/NAME.in in NAME.txt; versions that still fit stay
	@for name in uv $(ENVIRONMENTS) dev emulators local-bigquery zetasql terraform $(COMPOSER); do \
	  echo "$$name: resolving"; \
	  version=$$(sed -n 's/^# python: //p' requirements/$$name.in); \
	  $(UV) pip compile --quiet --universal --python-version "$${version:-3.11}" --generate-hashes --no-emit-index-url \
	    --custom-compile-command "make lock" $$(sed -n 's/^# uv: //p' requirements/$$name.in) \
	    --output-file requirements/$$name.txt requirements/$$name.in; \
	done

.PHONY: clean
clean: ## stop the stack and delete its folder, var/ or VAR=…; with PLACE=bigquery its datasets too, unless you say no
	@[ "$(VAR)" = var ] || [ -e "$(VAR)/secrets.json" ] || \
	  { echo "$(VAR) is not an instance of the stack: nothing was deleted" >&2; exit 1; }
	@if [ -e $(ENV)/stack/.ready ]; then \
	  $(STACK) down; $(if $(filter-out embedded compose,$(PLACE)),$(STACK) clean-warehouse $(if $(YES),--yes);) fi
	@rm -rf "$(VAR)"

# Stops where the environment $1 is that of another checkout, which it names in its scripts: it has the other's code, and
# to update it would change the other's.
OWN = for each in $(ENV)/$1/bin/activate; do [ ! -e "$$each" ] || grep -qF "$(CURDIR)/$(ENV)/" "$$each" || \
  { echo "$(ENV) is a link to, or a copy of, the environments of another checkout," \
  "$$(sed -n 's/^VIRTUAL_ENV=//p' "$$each" | head -1): delete it with" \
  "\`rm $$([ -L var ] && echo var || echo "-r $(ENV)")\`, then run the command again" >&2; exit 1; }; done

.PHONY: setup
setup: ## create or update the environments (other commands do it themselves)
	@$(call OWN,*)
	@$(MAKE) --silent --jobs $(ENVIRONMENTS:%=$(ENV)/%/.ready)

$(UV): requirements/uv.txt
	@$(call OWN,uv)
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info[:2] != (3, 11))' || \
	  { echo "Python 3.11 is needed and $(PYTHON) is another: make PYTHON=/path/to/python3.11 …" >&2; exit 1; }
	@$(PYTHON) -c 'import venv, ensurepip' || \
	  { echo "$(PYTHON) has no venv or pip: install them (Debian: apt install python3-venv python3-pip)" >&2; exit 1; }
	@command -v setpriv >/dev/null || { echo "setpriv is needed: install util-linux" >&2; exit 1; }
	@$(PYTHON) -c 'import shutil, sys; sys.exit(shutil.disk_usage(".").free < 4e9)' || \
	  { echo "Less than 4 GB are free, which setting up and a run need: free some space" >&2; exit 1; }
	@echo "Setting up (once; a few minutes)"
	@$(PYTHON) -m venv $(ENV)/uv
	@$(ENV)/uv/bin/pip install --quiet --disable-pip-version-check --require-hashes -r requirements/uv.txt
	@touch $@

# Also what only tests use, which make would otherwise take for intermediate and delete.
.PRECIOUS: $(ENV)/%/.ready
$(ENV)/%/.ready: requirements/%.txt | $(UV)
	@$(call OWN,$*)
	@$(UV) venv --quiet --allow-existing --python "$$(command -v $(PYTHON))" $(ENV)/$*
	@$(UV) pip sync --quiet --require-hashes $(or $(SYNC_$*),--compile-bytecode) --python $(ENV)/$*/bin/python $<
	@$(INSTALL_$*)
	@touch $@
	@echo "  $* is ready"

# Its bindings are read, not run, and compiling them takes minutes.
SYNC_terraform := --no-compile-bytecode

# Install the application into its environment; built by the locked uv-build.
INSTALL_tagifai = $(UV) pip install --quiet --no-deps --no-index --no-build-isolation \
  --python $(ENV)/tagifai/bin/python --editable . && $(ENV)/tagifai/bin/python requirements/mlflow_ui.py
$(ENV)/tagifai/.ready: requirements/mlflow_ui.py
# Compiles the analyser once: half a minute of processor time.
INSTALL_zetasql = $(ENV)/zetasql/bin/python tests/sql/analyser.py </dev/null
