# make demo [VIDEO=file]   the whole system on this machine, with no account anywhere
# make test [ARGS=...]     every check; installs what is missing first
# make check               formatting, lint and types alone
# make test-full SHARD=... the same tests at full scale
# make docs                regenerates the generated reference pages

.DEFAULT_GOAL := help
.PHONY: help demo test test-full check docs clean
BIN := .venv/bin

help:
	@sed -n 's/^# \(make .*\)/\1/p' Makefile

demo:
	@.ci/bootstrap demo
	@$(BIN)/nexus-actors demo $(if $(VIDEO),"$(VIDEO)")

test: check
	@$(BIN)/pytest $(ARGS)

test-full:
	@test -n "$(SHARD)" || { echo 'say which: make test-full SHARD=<marker>' >&2; exit 2; }
	@.ci/bootstrap test
	@NEXUS_TEST_SCALE=full $(BIN)/pytest -m "$(SHARD)" $(ARGS)

check:
	@.ci/bootstrap test
	@$(BIN)/ruff format --check --quiet . || { echo 'run: ruff format .' >&2; exit 1; }
	@$(BIN)/ruff check --quiet .
	@$(BIN)/mypy

docs:
	@.ci/bootstrap test
	@$(BIN)/python docs/generate.py

clean:
	rm -rf .venv .mypy_cache .pytest_cache .ruff_cache build dist nexus-demo tests/players/node_modules
