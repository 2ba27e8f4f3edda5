# Every target runs one command of `python3 -m local` or of Docker Compose, which also
# works without make.
PYTHON ?= python3
ARGS ?=
COMPOSE ?= $(shell docker compose version >/dev/null 2>&1 && echo docker compose || echo docker-compose)
DEV = $(COMPOSE) -f docker-compose.yml -f deploy/compose/docker-compose.dev.yml
ENCRYPTED = $(COMPOSE) -f docker-compose.yml -f docker-compose.tls.yml
BACKED = $(COMPOSE) -f docker-compose.yml -f deploy/compose/docker-compose.backup.yml
AVAILABLE = $(COMPOSE) -f docker-compose.yml -f docker-compose.ha.yml
SCALED = $(COMPOSE) -f docker-compose.yml -f deploy/compose/docker-compose.scale.yml
# Python would not find `local`, would find other modules, or would fail at a warning.
unexport PYTHONSAFEPATH PYTHONHOME PYTHONPATH PYTHONPLATLIBDIR
unexport PYTHONWARNINGS PYTHONOPTIMIZE PYTHONINSPECT PYTHONSTARTUP
.DEFAULT_GOAL := help
.PHONY: help run dev debug status logs-local traces token setup install-dev test unit integration e2e kit chaos mutate compose bench check format docs lock secrets certs pin-images audit new-service remove-service new-resource remove-resource new-task remove-task remove-demo rename migrate revision clean up down logs ps shell psql up-dev up-tls scale rolling-restart downgrade merge-revisions rebuild-records prune-events update release logs-of hostile smoke push ha backup restore upgrade up-backup up-restore up-ha

# A line that starts with ##@ is a heading; the text after ## describes a target.
help:  ## Show this list
	@awk -F ':.*## ' '/^##@ / {printf "\n%s\n", substr($$0, 5)} \
		/^[a-z0-9-]+:.*## / {printf "  make %-15s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

##@ Run on this machine

run:  ## Start the whole stack; Ctrl-C stops it (ARGS="--traces --auth --tls")
	@exec $(PYTHON) -m local run $(ARGS)

dev:  ## The same, and reload code when a file is saved
	@exec $(PYTHON) -m local dev $(ARGS)

traces:  ## Show the last traces of `make run ARGS=--traces` (ARGS=20 for more)
	@$(PYTHON) -m local traces $(ARGS)

# The shell sets USER too: only what stands behind `make token` counts.
token:  ## Print a token of `make run ARGS=--auth`: make token USER=bob SCOPES=records:read
	@$(PYTHON) -m local token "$(if $(filter command,$(origin USER)),$(USER))" "$(SCOPES)"

debug:  ## Start the whole stack; each process listens for a debugger
	@exec $(PYTHON) -m local debug $(ARGS)

status:  ## Show which parts of the running stack are up, with versions and ports
	@$(PYTHON) -m local status

smoke:  ## Ask the running system for each of its promises once (ARGS=http://...)
	@$(PYTHON) -m local smoke $(ARGS)

logs-local:  ## Follow one part's log: make logs-local SERVICE=worker
	@$(PYTHON) -m local logs-local "$(SERVICE)"

logs-of:  ## Show the log lines of one request: make logs-of REQUEST_ID=...
	@$(PYTHON) -m local logs-of "$(REQUEST_ID)"

setup:  ## Install what `make run` needs into .venv, without starting it
	@$(PYTHON) -m local setup

secrets:  ## Write a .env with random passwords, or add what an existing one lacks
	@$(PYTHON) -m local secrets

certs:  ## Make a local authority and certificates in .local/tls; renews what ends soon
	@$(PYTHON) -m local certs $(ARGS)

clean:  ## Remove the local stack's data and logs
	@$(PYTHON) -m local clean

backup:  ## Back up the running stack into backups/ (ARGS=--follow: until Ctrl-C)
	@exec $(PYTHON) -m local backup $(ARGS)

restore:  ## Restore the stopped stack (UNTIL=2026-11-27T03:04:05Z: as it was then)
	@$(PYTHON) -m local restore "$(UNTIL)" $(ARGS)

##@ Test

test:  ## Check, then run every test (ARGS go to pytest)
	@$(PYTHON) -m local test $(ARGS)

unit:  ## Run the tests that need no server
	@$(PYTHON) -m local unit $(ARGS)

integration:  ## Run the tests with real servers
	@$(PYTHON) -m local integration $(ARGS)

e2e:  ## Run the tests of the whole stack through nginx
	@$(PYTHON) -m local e2e $(ARGS)

kit:  ## Test the generators in copies of the project (takes most of an hour)
	@$(PYTHON) -m local kit $(ARGS)

chaos:  ## Break every part under load; no work may be lost (SHORT=1, SEED=7)
	@$(PYTHON) -m local chaos $(if $(SHORT),--short) $(if $(SEED),--seed $(SEED)) $(ARGS)

mutate:  ## Break changed code, and see whether unit tests notice (ARGS="--minutes 10 --all")
	@$(PYTHON) -m local mutate $(ARGS)

ha:  ## Lose each node of a highly available system (SHORT=1; ARGS=--keep to play with it)
	@$(PYTHON) -m local ha $(if $(SHORT),--short) $(if $(SEED),--seed $(SEED)) $(ARGS)

upgrade:  ## Roll from the last release to this code and back, under load (takes minutes)
	@$(PYTHON) -m local upgrade $(ARGS)

hostile:  ## Attack the stack while a normal client uses it (10 minutes; SHORT=1)
	@$(PYTHON) -m local hostile $(if $(SHORT),--short) $(ARGS)

compose:  ## Build the containers, run them and break them; not part of `make test`
	@$(PYTHON) -m local compose $(ARGS)

bench:  ## Benchmark the kit against its peers; writes docs/BENCHMARKS.md (ARGS=--help)
	@$(PYTHON) -m bench $(ARGS)

##@ Write code

install-dev:  ## Install the tools for tests and checks into .venv
	@$(PYTHON) -m local install-dev

check:  ## Run black, isort, flake8, mypy, import-linter, bandit, hadolint, prose, migrations
	@$(PYTHON) -m local check

format:  ## Format the code with black and isort
	@$(PYTHON) -m local format

docs:  ## Write the documents that are generated from code
	@$(PYTHON) -m local docs

lock:  ## Compile every requirements.txt with hashes (ARGS=--upgrade for newer versions)
	@$(PYTHON) -m local lock $(ARGS)

pin-images:  ## Renew the digests of images of others (needs Docker, the internet)
	@$(PYTHON) -m deploy.images refresh

audit:  ## Check pinned packages for known vulnerabilities (needs the internet)
	@$(PYTHON) -m local audit

##@ Make it yours

new-service:  ## Add a microservice: make new-service NAME=pricing (ARGS=--events: it receives events)
	@$(PYTHON) -m local new-service "$(NAME)" $(ARGS)

remove-service:  ## Remove it: make remove-service NAME=pricing (ARGS=--force)
	@$(PYTHON) -m local remove-service "$(NAME)" $(ARGS)

new-resource:  ## Add a CRUD resource: make new-resource NAME=invoice
	@$(PYTHON) -m local new-resource "$(NAME)" $(ARGS)

remove-resource:  ## Remove it: make remove-resource NAME=invoice (ARGS=--force)
	@$(PYTHON) -m local remove-resource "$(NAME)" $(ARGS)

new-task:  ## Add a task, with its schedule: make new-task NAME=daily-report
	@$(PYTHON) -m local new-task "$(NAME)" $(ARGS)

remove-task:  ## Remove it: make remove-task NAME=daily-report (ARGS=--force)
	@$(PYTHON) -m local remove-task "$(NAME)" $(ARGS)

remove-demo:  ## Remove the data service and everything about it
	@$(PYTHON) -m local remove-demo

rename:  ## Give the project your name: make rename NAME=acme-orders
	@$(PYTHON) -m local rename "$(NAME)"

update:  ## Merge a newer version of the kit: make update TO=v0.2.0
	@$(PYTHON) -m local update "$(TO)" $(FROM)

release:  ## Release the unreleased changes, with a tag: make release VERSION=X.Y.Z
	@$(PYTHON) -m local release "$(VERSION)"

##@ Database

migrate:  ## Migrate the database to the newest schema (the containers' if they run, else the local one)
	@if [ -n "$$($(COMPOSE) ps -q postgres 2>/dev/null)" ]; then \
	  $(COMPOSE) run --rm migrations alembic upgrade head; else $(PYTHON) -m local migrate; fi

downgrade:  ## Migrate the same database back to a revision: make downgrade TO=0003
	@if [ -n "$$($(COMPOSE) ps -q postgres 2>/dev/null)" ]; then \
	  $(COMPOSE) run --rm migrations alembic downgrade "$(TO)"; else $(PYTHON) -m local downgrade "$(TO)"; fi

rebuild-records:  ## Compare the records with the event log (ARGS=--apply corrects them)
	@if [ -n "$$($(COMPOSE) ps -q postgres 2>/dev/null)" ]; then \
	  $(COMPOSE) run --rm migrations python -m app.event_log rebuild $(ARGS); \
	  else $(PYTHON) -m local rebuild-records $(ARGS); fi

prune-events:  ## Delete old events whose record is gone: make prune-events DAYS=365
	@if [ -n "$$($(COMPOSE) ps -q postgres 2>/dev/null)" ]; then \
	  $(COMPOSE) run --rm migrations python -m app.event_log prune "$(DAYS)"; \
	  else $(PYTHON) -m local prune-events "$(DAYS)"; fi

revision:  ## Generate a migration from the models: make revision M="add a column"
	@$(PYTHON) -m local revision -m "$(M)"

merge-revisions:  ## Merge the newest migrations of two branches (M="join the update")
	@$(PYTHON) -m local merge-revisions -m "$(or $(M),join the migrations)"

##@ Containers

# `COPY --chmod` needs BuildKit; Docker before 23 has it, and asks to be told.
export DOCKER_BUILDKIT ?= 1
export COMPOSE_DOCKER_CLI_BUILD ?= 1

.PHONY: .docker
.docker:
	@deploy/compose/require-docker.sh $(COMPOSE)

up: .docker  ## Start the containers in order of their dependencies (ARGS=--build after changes)
	@$(COMPOSE) up -d $(ARGS)

up-tls: .docker certs  ## Start the containers with TLS on every connection
	@$(ENCRYPTED) up -d $(ARGS)

up-backup: .docker  ## Back up the containers' PostgreSQL into backups/containers, from now on
	@mkdir -p -m 700 backups/containers
	@$(BACKED) up -d postgres-wal
	@$(BACKED) exec -T postgres-wal sh /backup.sh base
	@umask 077; $(COMPOSE) exec -T rabbitmq rabbitmqctl -q export_definitions - > backups/containers/rabbitmq-definitions.json

up-restore: .docker  ## Restore it into a new volume, after make down (UNTIL=2026-11-27T03:04:05Z)
	@$(BACKED) run --rm -e UNTIL="$(UNTIL)" postgres-restore
	@$(BACKED) up -d postgres-wal
	@$(BACKED) exec -T postgres-wal sh /backup.sh finish

up-ha: .docker  ## Start three nodes of each server and two of each process
	@API_HOST_PORT= $(AVAILABLE) up -d $(ARGS)

down: .docker  ## Stop the containers, of all files; data stays (ARGS=-v removes it too)
	@$(COMPOSE) down --remove-orphans $(ARGS)

logs: .docker  ## Follow the containers' logs (ARGS=api for one)
	@$(COMPOSE) logs -f --tail=100 $(ARGS)

ps: .docker  ## Show the state of the containers
	@$(COMPOSE) ps $(ARGS)

push:  ## Build and push every image, and write its digest: make push REGISTRY=host/path (ARGS=--dirty)
	@$(PYTHON) -m deploy.push "$(REGISTRY)" $(ARGS)

shell: .docker  ## Open a shell in the API's container
	@$(COMPOSE) exec api bash

psql: .docker  ## Open psql on the containers' database
	@$(COMPOSE) exec postgres psql -U fastapi fastapi_db $(ARGS)

up-dev: .docker  ## Start the containers with this folder's code; reload it on save
	@$(DEV) up $(ARGS)

scale: .docker  ## Start several APIs, workers and data services (ARGS="--scale api=5")
	@API_HOST_PORT= $(SCALED) up -d $(ARGS)

rolling-restart: .docker  ## Restart scaled APIs one by one (ARGS=--recreate for a new image)
	@COMPOSE="$(SCALED)" deploy/compose/rolling-restart.sh $(ARGS)
