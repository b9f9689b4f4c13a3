# Every target sets up what it needs by itself. `make` alone lists them.
PYTHON ?= python3
ARGS ?=
BIN := .venv/bin
TESTS ?= tests
.DEFAULT_GOAL := help
.PHONY: help setup packages demo check test sweep lint scan drift jenkins fix bench oracle docs

help: ## this list
	@sed -nE 's/^([a-z]+):[^#]*## (.*)/  make \1\t\2/p' $(MAKEFILE_LIST) | expand -t 14

setup: ## virtual environment, Terraform and its provider, in this folder only
	@echo "set-up"
	@$(PYTHON) scripts/setup.py

packages:
	@$(PYTHON) scripts/setup.py packages

demo: setup ## dataset upload to approved production endpoint on a local AWS (ARGS=--keep leaves it running)
	@$(BIN)/mlops demo --yes $(ARGS)

check: lint ## fast: lint, types, import rules, unit tests; no Terraform, no container engine
	@echo "unit tests"
	@$(BIN)/python -m pytest tests/unit

test: setup lint ## everything: the checks and all tests, container tests where an engine is
	@echo "tests (unit, contract, functional)"
	@$(BIN)/python -m pytest -n auto --dist loadfile --no-loadscope-reorder $(TESTS) $(ARGS)

sweep: setup ## kills the apply and the destroy of an environment again and again, beyond what `make test` does (ten minutes)
	@MLOPS_SWEEP=1 $(BIN)/python -m pytest tests/contract/test_crash_sweep.py $(ARGS)

lint: packages
	@echo "lint, types, import rules"
	@$(BIN)/ruff check --quiet .
	@$(BIN)/hadolint container/Dockerfile
	@$(BIN)/ruff format --check --quiet . || { echo "not formatted: make fix"; exit 1; }
	@$(BIN)/mypy --no-error-summary
	@MYPYPATH=scripts $(BIN)/mypy --no-error-summary --exclude 'benchmarks/peers|scripts/checks/state_machines' scripts benchmarks .ci container
	@report=$$($(BIN)/lint-imports 2>&1) || { echo "$$report"; exit 1; }
	@$(BIN)/python -m pipeline.cli.docs --check
	@$(BIN)/python scripts/iac_readmes.py --check

scan: packages ## checkov over Terraform and the Dockerfile; its plans too with ARGS="--plans build/plans"
	@$(BIN)/python scripts/scan.py $(ARGS)

drift: setup ## what differs from what was applied and released, on the AWS that the environment names; all is told
	@ended=0; for target in core "--env staging" "--env production"; do \
	  $(BIN)/mlops drift $$target || ended=1; \
	done; exit $$ended

jenkins: ## has the Jenkins at JENKINS_URL judge both Jenkinsfiles (JENKINS_USER and JENKINS_TOKEN, if it asks for them)
	@$(PYTHON) scripts/judge_jenkinsfile.py Jenkinsfile Jenkinsfile.drift

fix: packages ## formats the code and mends what the linter can mend
	@$(BIN)/ruff check --fix --quiet .
	@$(BIN)/ruff format --quiet .

bench: setup ## measures what the README claims, into build/bench/*.json
	@$(BIN)/python benchmarks/loop.py
	@$(BIN)/python benchmarks/demo.py
	@$(BIN)/python benchmarks/offline.py
	@$(BIN)/python benchmarks/many_models.py
	@$(BIN)/python benchmarks/serving.py
	@$(BIN)/python benchmarks/footprint.py
	@$(BIN)/python benchmarks/fuzz.py
	@$(BIN)/python benchmarks/gates.py
	@$(BIN)/python benchmarks/validation.py
	@$(BIN)/python benchmarks/exactly_once.py

oracle: packages ## the IAM evaluator held against another, on the last functional run's record (needs node and npm)
	@npm ci --prefix tests/oracle --silent
	@$(BIN)/python tests/oracle/compare.py $(ARGS)

docs: packages ## writes the generated pages again (docs/cli.md, the tables and examples of iac/**/README.md)
	@$(BIN)/python -m pipeline.cli.docs
	@$(BIN)/python scripts/iac_readmes.py
