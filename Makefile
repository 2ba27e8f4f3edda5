# Every target is one command, of `python3 -m local` or of Docker Compose; all work
# without make.
PYTHON ?= python3
ARGS ?=
COMPOSE ?= $(shell docker compose version >/dev/null 2>&1 && echo docker compose || echo docker-compose)
DEV = $(COMPOSE) -f docker-compose.yml -f deploy/compose/docker-compose.dev.yml
SCALED = $(COMPOSE) -f docker-compose.yml -f deploy/compose/docker-compose.scale.yml
.DEFAULT_GOAL := help
.PHONY: help run dev traces setup install-dev test unit integration e2e kit chaos compose bench check format docs lock secrets audit new-service remove-service new-resource remove-resource new-task remove-task remove-demo rename migrate revision clean up down logs ps shell psql up-dev scale rolling-restart downgrade merge-revisions update release logs-of hostile

# A line that begins with ##@ is a heading, the text behind ## says what a target does.
help:  ## This list
	@awk -F ':.*## ' '/^##@ / {printf "\n%s\n", substr($$0, 5)} \
		/^[a-z0-9-]+:.*## / {printf "  make %-15s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

##@ Run on this machine

run:  ## Start the whole stack on this machine; Ctrl-C stops it (ARGS=--traces)
	@exec $(PYTHON) -m local run $(ARGS)

dev:  ## The same, and take over changes of the code as they are saved
	@exec $(PYTHON) -m local dev $(ARGS)

traces:  ## Show the last traces of `make run ARGS=--traces` (ARGS=20 for more)
	@$(PYTHON) -m local traces $(ARGS)

logs-of:  ## What all logs of `make run` say of one request: make logs-of REQUEST_ID=...
	@$(PYTHON) -m local logs-of "$(REQUEST_ID)"

setup:  ## Install what `make run` needs into .venv, and nothing else
	@$(PYTHON) -m local setup

secrets:  ## Write a .env with fresh random passwords; never overwrites one
	@$(PYTHON) -m local secrets

clean:  ## Remove the local stack's data and logs
	@$(PYTHON) -m local clean

##@ Test

test:  ## Check, then run every test (ARGS go to pytest)
	@$(PYTHON) -m local test $(ARGS)

unit:  ## Tests that need no server
	@$(PYTHON) -m local unit $(ARGS)

integration:  ## Tests against real servers
	@$(PYTHON) -m local integration $(ARGS)

e2e:  ## Tests of the whole stack through nginx
	@$(PYTHON) -m local e2e $(ARGS)

kit:  ## Generate services in copies, run them, take them out again (minutes)
	@$(PYTHON) -m local kit $(ARGS)

chaos:  ## Break every part under load and account for all work (SHORT=1, SEED=7)
	@$(PYTHON) -m local chaos $(if $(SHORT),--short) $(if $(SEED),--seed $(SEED)) $(ARGS)

hostile:  ## Attack the stack beside a friendly client; ten minutes and more (SHORT=1)
	@$(PYTHON) -m local hostile $(if $(SHORT),--short) $(ARGS)

compose:  ## Build the containers, run them and break them; not part of `make test`
	@$(PYTHON) -m local compose $(ARGS)

bench:  ## Measure the kit beside its peers; writes docs/BENCHMARKS.md (ARGS=--help)
	@$(PYTHON) -m bench $(ARGS)

##@ Write code

install-dev:  ## Install what tests and checks need into .venv
	@$(PYTHON) -m local install-dev

check:  ## black, isort, flake8, mypy, import-linter, bandit, hadolint, prose
	@$(PYTHON) -m local check

format:  ## black and isort, writing
	@$(PYTHON) -m local format

docs:  ## Write the documents that are made from code
	@$(PYTHON) -m local docs

lock:  ## Compile every requirements.txt with hashes (ARGS=--upgrade for newer ones)
	@$(PYTHON) -m local lock $(ARGS)

audit:  ## Look for known vulnerabilities in what is pinned (needs the internet)
	@$(PYTHON) -m local audit

##@ Make it yours

new-service:  ## Add a microservice: make new-service NAME=pricing
	@$(PYTHON) -m local new-service "$(NAME)" $(ARGS)

remove-service:  ## Take it back: make remove-service NAME=pricing (ARGS=--force)
	@$(PYTHON) -m local remove-service "$(NAME)" $(ARGS)

new-resource:  ## Add a CRUD resource: make new-resource NAME=invoice
	@$(PYTHON) -m local new-resource "$(NAME)" $(ARGS)

remove-resource:  ## Take it back: make remove-resource NAME=invoice (ARGS=--force)
	@$(PYTHON) -m local remove-resource "$(NAME)" $(ARGS)

new-task:  ## Add a task, with its schedule: make new-task NAME=daily-report
	@$(PYTHON) -m local new-task "$(NAME)" $(ARGS)

remove-task:  ## Take it back: make remove-task NAME=daily-report (ARGS=--force)
	@$(PYTHON) -m local remove-task "$(NAME)" $(ARGS)

remove-demo:  ## Take out the data service and what belongs to it
	@$(PYTHON) -m local remove-demo

rename:  ## Make the kit your project: make rename NAME=acme-orders
	@$(PYTHON) -m local rename "$(NAME)"

update:  ## Merge a version of the kit: make update TO=v0.2.0
	@$(PYTHON) -m local update "$(TO)" $(FROM)

release:  ## Make what is unreleased a version, with a tag: make release VERSION=X.Y.Z
	@$(PYTHON) -m local release "$(VERSION)"

##@ Database

migrate:  ## Bring the database to the newest schema: the containers' if they run, else the local one
	@if [ -n "$$($(COMPOSE) ps -q postgres 2>/dev/null)" ]; then \
	  $(COMPOSE) run --rm api alembic upgrade head; else $(PYTHON) -m local migrate; fi

downgrade:  ## Take the same database back to a revision: make downgrade TO=0003
	@if [ -n "$$($(COMPOSE) ps -q postgres 2>/dev/null)" ]; then \
	  $(COMPOSE) run --rm api alembic downgrade "$(TO)"; else $(PYTHON) -m local downgrade "$(TO)"; fi

revision:  ## Write a migration from the models: make revision M="add a column"
	@$(PYTHON) -m local revision -m "$(M)"

merge-revisions:  ## Join the newest migrations of two branches (M="join the update")
	@$(PYTHON) -m local merge-revisions -m "$(or $(M),join the migrations)"

##@ Containers

.PHONY: .docker
.docker:
	@deploy/compose/require-docker.sh $(COMPOSE)

up: .docker  ## Start the containers, each when what it needs is healthy (ARGS=--build after changes)
	@$(COMPOSE) up -d $(ARGS)

down: .docker  ## Stop the containers; data stays (ARGS=-v removes it too)
	@$(COMPOSE) down $(ARGS)

logs: .docker  ## Follow the containers' logs (ARGS=api for one)
	@$(COMPOSE) logs -f --tail=100 $(ARGS)

ps: .docker  ## State of the containers
	@$(COMPOSE) ps $(ARGS)

shell: .docker  ## A shell in the API's container
	@$(COMPOSE) exec api bash

psql: .docker  ## SQL in the database of the containers
	@$(COMPOSE) exec postgres psql -U fastapi fastapi_db $(ARGS)

up-dev: .docker  ## The containers with the code of this folder, reloaded when it changes
	@$(DEV) up $(ARGS)

scale: .docker  ## Several APIs, workers and data services (ARGS="--scale api=5")
	@API_HOST_PORT= $(SCALED) up -d $(ARGS)

rolling-restart: .docker  ## Restart scaled APIs one by one (ARGS=--recreate for a new image)
	@COMPOSE="$(SCALED)" deploy/compose/rolling-restart.sh $(ARGS)
