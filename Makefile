# Every target is one command of `python3 -m local`, which also works without make.
PYTHON ?= python3
ARGS ?=
.DEFAULT_GOAL := help
.PHONY: help run dev traces setup install-dev test unit integration e2e chaos bench check format docs lock secrets audit migrate revision clean

# A line that begins with ##@ is a heading, the text behind ## says what a target does.
help:  ## This list
	@awk -F ':.*## ' '/^##@ / {printf "\n%s\n", substr($$0, 5)} \
		/^[a-z0-9-]+:.*## / {printf "  make %-14s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

##@ Run on this machine

run:  ## Start the whole stack on this machine; Ctrl-C stops it (ARGS=--traces)
	@exec $(PYTHON) -m local run $(ARGS)

dev:  ## The same, and take over changes of the code as they are saved
	@exec $(PYTHON) -m local dev $(ARGS)

traces:  ## Show the last traces of `make run ARGS=--traces` (ARGS=20 for more)
	@$(PYTHON) -m local traces $(ARGS)

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

chaos:  ## Accepted work under minutes of faults; not part of `make test`
	@$(PYTHON) -m local chaos $(ARGS)

bench:  ## Measure the kit beside its peers; writes docs/BENCHMARKS.md (ARGS=--help)
	@$(PYTHON) -m bench $(ARGS)

##@ Write code

install-dev:  ## Install what tests and checks need into .venv
	@$(PYTHON) -m local install-dev

check:  ## black, isort, flake8, mypy, import-linter, bandit
	@$(PYTHON) -m local check

format:  ## black and isort, writing
	@$(PYTHON) -m local format

docs:  ## Write the documents that are made from code
	@$(PYTHON) -m local docs

lock:  ## Compile every requirements.in with hashes (ARGS=--upgrade for newer ones)
	@$(PYTHON) -m local lock $(ARGS)

audit:  ## Look for known vulnerabilities in what is pinned (needs the internet)
	@$(PYTHON) -m local audit

##@ Database

migrate:  ## Bring the local database to the newest schema
	@$(PYTHON) -m local migrate

revision:  ## Write a migration from the models: make revision M="add a column"
	@$(PYTHON) -m local revision -m "$(M)"
