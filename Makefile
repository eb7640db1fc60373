# Everything one does with this repository. `make` lists it.

VENV := .venv/bin
PYTEST_WORKERS ?= 2
PYTEST_ARGS ?=

# What a module prints becomes a file, but only when it printed all of it.
write = echo "$(2)"; $(VENV)/python -m $(1) >$(2).new && mv $(2).new $(2) || { rm -f $(2).new; exit 1; }

.DEFAULT_GOAL := help
.PHONY: help setup demo down test lint format bench killtest lock docs schemas clean

help: ## list what can be made
	@awk -F ':.*## ' '/^[a-z]+:.*## / { printf "  make %-9s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

setup: ## install what is missing and make .venv from requirements.lock
	@scripts/setup

demo: ## run the quickstart on a real engine, set up as needed
	@scripts/demo

down: ## take away what demo put on this machine
	@scripts/down

test: ## run the whole suite, on engines of its own
	@scripts/setup --engine
	@$(VENV)/pytest -n $(PYTEST_WORKERS) $(PYTEST_ARGS)

lint: ## check style, types and import rules
	@scripts/setup
	$(VENV)/ruff check .
	$(VENV)/ruff format --check .
	$(VENV)/mypy
	$(VENV)/lint-imports

format: ## put the code into shape
	@scripts/setup
	$(VENV)/ruff check --fix-only --quiet .
	$(VENV)/ruff format .

bench: ## measure, and write docs/benchmarks.md
	@scripts/setup --engine
	$(VENV)/python -m benchmarks.run --write docs/benchmarks.md

killtest: ## kill service, worker and engine during 300 runs, and count what got lost
	@scripts/setup --engine
	@$(VENV)/python -m scripts.killtest --write docs/reliability.md
	@$(VENV)/python -m scripts.killtest --triggers 180 --write docs/reliability.md

lock: ## write requirements.lock from pyproject.toml
	@scripts/setup
	@scripts/lock

docs: ## write the pages that come from the code
	@scripts/setup
	@$(VENV)/python -m scripts.docs

schemas: ## write schemas/ from the code
	@scripts/setup
	@$(call write,taskengine.taskspec.schema,schemas/task.schema.json)
	@$(call write,taskengine.plan.schema,schemas/plan.schema.json)
	@$(call write,taskengine.runs.schema,schemas/event.schema.json)

clean: down ## also remove .venv and caches
	rm -rf .venv .local .mypy_cache .ruff_cache .pytest_cache .import_linter_cache .hypothesis .schemathesis
